//! The one recorder of metrics of a process, and the page that shows it.
//!
//! Names and help texts live in the `metrics.rs` of each crate; this file knows none but the build's
//! own. Names: `fairground_<subsystem>_<thing>_<unit>[_total]`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusBuilder;
pub use metrics_exporter_prometheus::PrometheusHandle;

use crate::error::TelemetryError;
use crate::shutdown::Shutdown;

/// Upper bounds of every histogram of seconds: half a millisecond to a minute.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];
/// How often the samples of histograms are folded when nobody asks for the page.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Installs the recorder, or gives the one that is installed.
///
/// # Errors
/// When another library's recorder is in place.
pub fn install() -> Result<PrometheusHandle, TelemetryError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets(SECONDS)
        .map_err(TelemetryError::Buckets)?
        .build_recorder();
    let handle = recorder.handle();
    ::metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Recorder)?;
    ::metrics::describe_gauge!("fairground_build_info", "1, with the version as a label.");
    ::metrics::gauge!("fairground_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    *installed = Some(handle.clone());
    Ok(handle)
}

/// The page in Prometheus's text format 0.0.4.
#[must_use]
pub fn render(handle: &PrometheusHandle) -> String {
    handle.run_upkeep();
    handle.render()
}

/// `/metrics`.
pub fn routes<S: Clone + Send + Sync + 'static>(handle: PrometheusHandle) -> Router<S> {
    let page = move || async move {
        let text = "text/plain; version=0.0.4; charset=utf-8";
        ([(header::CONTENT_TYPE, text)], render(&handle)).into_response()
    };
    Router::new().route("/metrics", get(page))
}

/// Folds samples until `shutdown`, so that memory stays bounded when nobody asks for the page.
pub async fn keep(handle: PrometheusHandle, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(UPKEEP_PERIOD) => handle.run_upkeep(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorder_is_installed_once_and_renders() {
        let handle = install().expect("installed");
        install().expect("the same one");
        ::metrics::counter!("fairground_test_things_total").increment(2);
        let page = render(&handle);
        assert!(page.contains("fairground_test_things_total 2"), "{page}");
        assert!(page.contains("fairground_build_info{version="), "{page}");
    }
}

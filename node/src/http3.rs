//! Media over HTTP/3, where the binary has the feature and the configuration wants it.
//!
//! The listener and its bounds are in `fairground_http3`; here stands what an edge serves by it, and
//! what it tells clients. Without the feature only the refusal of the option is left. It must not know
//! what a segment is. Read next: `http/segments.rs` for what is answered.

#[cfg(not(feature = "http3"))]
pub(crate) use absent::{Prepared, prepare, start};
#[cfg(feature = "http3")]
pub(crate) use present::{Prepared, prepare, start};

#[cfg(feature = "http3")]
mod present {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::Router;
    use axum::http::Uri;
    use fairground_http3::{Http3Limits, Listener, Media};
    use fairground_runtime::http as listening;

    use crate::HTTP_DRAIN;
    use crate::edge::Edge;
    use crate::error::Error;
    use crate::options::Options;

    /// What is served over HTTP/3: playlists, headers, segments, stills and steering.
    const MEDIA: &[&str] = &["/p/"];
    /// The port of an `https` URL that names none.
    const HTTPS_PORT: u16 = 443;

    /// A bound socket, and the port by which clients reach it.
    pub(crate) struct Prepared {
        listener: Listener,
        port: u16,
    }

    /// Binds the socket when the configuration wants it; `bound` is where the TCP listener is.
    pub(crate) fn prepare(
        options: &Options,
        bound: SocketAddr,
        public_url: &str,
    ) -> Result<Option<Prepared>, Error> {
        if !options.http3 {
            return Ok(None);
        }
        let files = options.http_tls_cert_file.as_ref().zip(options.http_tls_key_file.as_ref());
        let Some((certificate, key)) = files else {
            let problem = "it needs http_tls_cert_file and http_tls_key_file".to_owned();
            return Err(Error::Option { option: "http3", problem });
        };
        let tls = listening::tls_config_http3(certificate, key)?;
        let address = match options.http3_listen.as_str() {
            "" => bound,
            text => text.parse().map_err(|_| Error::Option {
                option: "http3_listen",
                problem: format!("`{text}` is not an address and port"),
            })?,
        };
        let limits = Http3Limits { drain: HTTP_DRAIN, ..Http3Limits::default() };
        let listener = Listener::bind(address, tls, limits).map_err(broken)?;
        // The same address as TCP is reached by the same port, whatever stands before this machine.
        let port = if options.http3_listen.is_empty() {
            port_of(public_url).unwrap_or_else(|| bound.port())
        } else {
            listener.address().port()
        };
        Ok(Some(Prepared { listener, port }))
    }

    /// Starts serving, and gives back the routes that say so.
    pub(crate) fn start(prepared: Option<Prepared>, edge: &Arc<Edge>, router: Router) -> Router {
        let Some(Prepared { listener, port }) = prepared else { return router };
        fairground_http3::describe();
        let router = fairground_http3::advertise(router, MEDIA, port);
        let media = Media { router: router.clone(), prefixes: MEDIA };
        let serving = fairground_http3::serve(listener, media, edge.shutdown.clone());
        edge.tasks.spawn("http3", serving);
        router
    }

    fn broken(error: fairground_http3::Error) -> Error {
        match error {
            fairground_http3::Error::Tls(error) => Error::QuicTls(error),
            fairground_http3::Error::Bind { address, source } => Error::Bind { address, source },
            _ => Error::Vital,
        }
    }

    fn port_of(public_url: &str) -> Option<u16> {
        let url: Uri = public_url.parse().ok()?;
        let is_https = url.scheme_str() == Some("https");
        is_https.then(|| url.port_u16().unwrap_or(HTTPS_PORT))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn clients_are_told_the_port_of_the_public_address() {
            assert_eq!(port_of("https://edge.example"), Some(443));
            assert_eq!(port_of("https://edge.example:8443"), Some(8443));
            assert_eq!(port_of("https://[2001:db8::1]:8443"), Some(8443));
            assert_eq!(port_of("http://127.0.0.1:8080"), None);
            assert_eq!(port_of("nothing"), None);
        }
    }
}

#[cfg(not(feature = "http3"))]
mod absent {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::Router;

    use crate::edge::Edge;
    use crate::error::Error;
    use crate::options::Options;

    /// There is none.
    pub(crate) enum Prepared {}

    /// Refuses the option.
    pub(crate) fn prepare(
        options: &Options,
        _bound: SocketAddr,
        _public_url: &str,
    ) -> Result<Option<Prepared>, Error> {
        if !options.http3 {
            return Ok(None);
        }
        let problem = "this binary was built without the feature `http3`".to_owned();
        Err(Error::Option { option: "http3", problem })
    }

    /// Gives the routes back as they are.
    pub(crate) fn start(_prepared: Option<Prepared>, _edge: &Arc<Edge>, router: Router) -> Router {
        router
    }
}

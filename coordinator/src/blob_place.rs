//! Opens the place for blobs that the configuration names: a folder, or a bucket.
//!
//! It must not know what blobs are for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fairground_objects::{S3Settings, S3Store, SettingError};
use fairground_runtime::config::Secret;
use fairground_runtime::ids;
use fairground_storage::StorageError;
use fairground_storage::blob::{BlobPlace, BlobStore};
use fairground_types::{ClusterId, MemberId};

use crate::error::Error;
use crate::options::{BlobOptions, BlobStoreKind, S3Options};

/// How long a bucket may take to say whose it is before a member starts without knowing.
const CLAIM_WAIT: Duration = Duration::from_secs(10);

/// The place. A bucket that does not answer is no reason not to start: auctions need no blobs, and it
/// is asked again before anything is written. One of another cluster is.
pub(crate) async fn open(
    options: &BlobOptions,
    cluster: ClusterId,
    member: MemberId,
    dir: &Path,
) -> Result<Arc<dyn BlobPlace>, Error> {
    match options.store {
        BlobStoreKind::Directory => Ok(Arc::new(BlobStore::open(&dir.join("blobs"))?)),
        BlobStoreKind::S3 => {
            let settings = settings(&options.s3)?;
            let ages = dir.join("blobs.unused");
            let run = u64::from_be_bytes(ids::random_bytes::<8>());
            let (cluster, process) = (cluster.to_string(), format!("{member}-{run:x}"));
            let store = S3Store::open(&settings, &cluster, &process, &ages).map_err(named)?;
            match tokio::time::timeout(CLAIM_WAIT, store.claim()).await {
                Ok(Ok(())) => {}
                Ok(Err(error @ StorageError::Foreign)) => return Err(error.into()),
                Ok(Err(error)) => {
                    let error = fairground_runtime::telemetry::chain(&error);
                    tracing::error!(%error, "the bucket of the blobs cannot be used now");
                }
                Err(_) => tracing::error!("the bucket of the blobs does not answer"),
            }
            Ok(Arc::new(store))
        }
    }
}

fn settings(options: &S3Options) -> Result<S3Settings, Error> {
    let Some(secret) = Secret::from_option(options.secret_access_key_file.as_deref())? else {
        let problem = "a bucket needs one".to_owned();
        return Err(Error::Setting { key: "blobs.s3.secret_access_key_file", problem });
    };
    Ok(S3Settings {
        bucket: options.bucket.clone(),
        prefix: options.prefix.clone(),
        endpoint: options.endpoint.clone(),
        region: options.region.clone(),
        path_style: options.path_style,
        access_key_id: options.access_key_id.clone(),
        secret_access_key: secret.expose().to_owned(),
    })
}

fn named(error: SettingError) -> Error {
    let key = match error.key {
        "bucket" => "blobs.s3.bucket",
        "prefix" => "blobs.s3.prefix",
        "region" => "blobs.s3.region",
        "access_key_id" => "blobs.s3.access_key_id",
        "secret_access_key" => "blobs.s3.secret_access_key_file",
        _ => "blobs.s3.endpoint",
    };
    Error::Setting { key, problem: error.problem }
}

//! A store in an S3 bucket, of Amazon or of whoever speaks the same.

use super::BackupError;
use super::http::Connector;
use super::store::{Object, PART_BYTES, failed};
use crate::net::http::HttpClient;
use crate::net::tls::Trust;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Longest time of one request.
const REQUEST_MAX: Duration = Duration::from_secs(120);

/// The bucket below a prefix, and the runtime that its library waits on between two tries.
pub(super) struct Bucket {
    inner: PrefixStore<AmazonS3>,
    runtime: Runtime,
}

impl Bucket {
    /// Credentials, region and endpoint come from the environment. Says in words what is wrong.
    pub fn open(bucket: &str, prefix: &str) -> Result<Self, String> {
        let settings = AmazonS3Builder::from_env();
        check(&settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        let client = HttpClient::new(&Trust::system(), REQUEST_MAX);
        let bucket = settings
            .with_bucket_name(bucket)
            .with_http_connector(Connector(client))
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { inner: PrefixStore::new(bucket, prefix), runtime })
    }

    /// Large objects go in parts; they appear when they are whole.
    pub fn put(
        &self,
        key: &str,
        next: &mut dyn FnMut() -> Result<Vec<u8>, BackupError>,
        sent: &mut dyn FnMut(u64),
    ) -> Result<(), BackupError> {
        let at = Key::from(key);
        let first = next()?;
        if first.len() < PART_BYTES {
            let bytes = first.len() as u64;
            self.runtime.block_on(self.inner.put(&at, first.into())).map_err(refused("write", key))?;
            sent(bytes);
            return Ok(());
        }
        let upload = self.runtime.block_on(self.inner.put_multipart(&at));
        let mut upload = upload.map_err(refused("begin to write", key))?;
        let parts = || {
            let mut part = first;
            while !part.is_empty() {
                let bytes = part.len() as u64;
                self.runtime.block_on(upload.put_part(part.into())).map_err(refused("write", key))?;
                sent(bytes);
                part = next()?;
            }
            self.runtime.block_on(upload.complete()).map(drop).map_err(refused("finish", key))
        };
        let done = parts();
        if done.is_err() {
            let _ = self.runtime.block_on(upload.abort()); // gives the space back; the error that matters is the first
        }
        done
    }

    pub fn get(&self, key: &str) -> Result<Vec<u8>, BackupError> {
        let fetched = self.runtime.block_on(async { self.inner.get(&Key::from(key)).await?.bytes().await });
        fetched.map(|bytes| bytes.to_vec()).map_err(refused("read", key))
    }

    pub fn range(&self, key: &str, from: u64, to: u64) -> Result<Vec<u8>, BackupError> {
        let part = self.runtime.block_on(self.inner.get_range(&Key::from(key), from..to));
        part.map(|bytes| bytes.to_vec()).map_err(refused("read", key))
    }

    pub fn list(&self, prefix: &str) -> Result<BTreeMap<String, Object>, BackupError> {
        let found = self.runtime.block_on(self.inner.list_with_delimiter(Some(&Key::from(prefix))));
        let named = found.map_err(refused("list", prefix))?.objects.into_iter().filter_map(|meta| {
            let modified_ns = meta.last_modified.timestamp_nanos_opt().unwrap_or(i64::MAX);
            Some((meta.location.filename()?.to_owned(), Object { bytes: meta.size, modified_ns }))
        });
        Ok(named.collect())
    }

    pub fn delete(&self, key: &str) -> Result<(), BackupError> {
        self.runtime.block_on(self.inner.delete(&Key::from(key))).map_err(refused("remove", key))
    }
}

/// Without these two the library would ask the network for credentials. An endpoint stands in errors.
fn check(settings: &AmazonS3Builder) -> Result<(), String> {
    use AmazonS3ConfigKey::{AccessKeyId, Endpoint, S3Endpoint, SecretAccessKey};
    let value = |key| settings.get_config_value(&key).filter(|value| !value.is_empty());
    for (key, name) in [(AccessKeyId, "AWS_ACCESS_KEY_ID"), (SecretAccessKey, "AWS_SECRET_ACCESS_KEY")] {
        value(key).ok_or_else(|| format!("{name} is not set"))?;
    }
    if [Endpoint, S3Endpoint].into_iter().filter_map(value).any(|endpoint| endpoint.contains(['@', '?'])) {
        return Err("the endpoint may hold no user, password or query".to_owned());
    }
    Ok(())
}

fn refused(action: &'static str, key: &str) -> impl FnOnce(object_store::Error) -> BackupError {
    move |source| failed(action, key, matches!(source, object_store::Error::NotFound { .. }), source)
}

//! The requests that write: an object at once, and an object in parts. Each object is encrypted by the job's key, if it has one.

use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};

use super::connect::CONNECT;
use super::{Bucket, Error};

/// Until a part has arrived. A connection that stands still ends earlier (stalled-stream protection).
const SENT: Duration = Duration::from_secs(900);

impl Bucket {
    pub(super) async fn put(&self, key: &str, content: Vec<u8>, kms: Option<&str>) -> Result<(), Error> {
        let request = self.client.put_object().bucket(&self.name).key(key);
        let request = request.set_server_side_encryption(kms.map(|_| ServerSideEncryption::AwsKms));
        let request = request.set_ssekms_key_id(kms.map(str::to_owned)).body(ByteStream::from(content));
        request
            .customize()
            .config_override(patient())
            .send()
            .await
            .map(drop)
            .map_err(|error| Error::of(&self.uri(key), &error))
    }

    pub(super) async fn begin(&self, key: &str, kms: Option<&str>) -> Result<String, Error> {
        let request = self.client.create_multipart_upload().bucket(&self.name).key(key);
        let request = request.set_server_side_encryption(kms.map(|_| ServerSideEncryption::AwsKms));
        let request = request.set_ssekms_key_id(kms.map(str::to_owned));
        let begun = request.send().await.map_err(|error| Error::of(&self.uri(key), &error))?;
        begun.upload_id.ok_or_else(|| Error::internal(&self.uri(key), "the service gives no upload id"))
    }

    pub(super) async fn part(
        &self,
        key: &str,
        id: &str,
        number: usize,
        content: Vec<u8>,
    ) -> Result<CompletedPart, Error> {
        let number = i32::try_from(number).map_err(|error| Error::internal(&self.uri(key), error))?;
        let request = self.client.upload_part().bucket(&self.name).key(key).upload_id(id).part_number(number);
        let request = request.body(ByteStream::from(content)).customize().config_override(patient());
        let sent = request.send().await;
        let sent = sent.map_err(|error| Error::of(&self.uri(key), &error))?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
    }

    pub(super) async fn complete(&self, key: &str, id: &str, parts: Vec<CompletedPart>) -> Result<(), Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.name).key(key).upload_id(id);
        let request = request.multipart_upload(parts).customize().config_override(patient());
        let done = request.send().await;
        done.map(drop).map_err(|error| Error::of(&self.uri(key), &error))
    }

    /// If it fails, too, the bucket's rule for incomplete uploads removes the parts.
    pub(super) async fn abort(&self, key: &str, id: &str) {
        let request = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(id);
        let _ = request.send().await;
    }
}

/// The answer begins when all of a part has arrived, or when the service has put the parts together.
fn patient() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(SENT).build();
    aws_sdk_s3::config::Builder::default().timeout_config(timeouts)
}

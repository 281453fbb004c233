//! InvokeEndpoint: passes a request on to the container of an endpoint, and its answer back. Both are bounded in size and time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Platform;
use super::endpoints::{Endpoint, deployment};
use super::wire::{self, Answer, Failure, MOST_OF_INVOKE};
use crate::status::EndpointStatus;

/// As in SageMaker.
const DEADLINE: Duration = Duration::from_secs(60);

const ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");

/// Headers of the operation that are passed on, or that change nothing for an endpoint with one container.
const TAKEN: [&str; 3] = [
    "x-amzn-sagemaker-custom-attributes",
    "x-amzn-sagemaker-inference-id",
    "x-amzn-sagemaker-target-variant",
];

/// What a container answered.
struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

pub(super) async fn invoke(platform: &Arc<Platform>, name: &str, head: &Parts, body: Bytes) -> Answer {
    invoked(platform, name, head, body).await.unwrap_or_else(|failure| wire::failed(&failure))
}

async fn invoked(platform: &Arc<Platform>, name: &str, head: &Parts, body: Bytes) -> Result<Answer, Failure> {
    let (found, endpoint_name) = (platform.clone(), name.to_owned());
    let looked = tokio::task::spawn_blocking(move || look(&found, &endpoint_name)).await;
    let (address, variant) =
        looked.map_err(|_| Failure::new("InternalFailure", "the operation was cut off", 500))??;
    let given =
        head.headers.keys().map(HeaderName::as_str).filter(|header| header.starts_with("x-amzn-sagemaker-"));
    for header in given {
        if !TAKEN.contains(&header) {
            return Err(invalid(format!("{header} is not supported; leave it out")));
        }
    }
    if head
        .headers
        .get("x-amzn-sagemaker-target-variant")
        .is_some_and(|target| target.as_bytes() != variant.as_bytes())
    {
        return Err(invalid(format!("TargetVariant is not {variant}, the variant of the endpoint")));
    }
    let asked = timeout(DEADLINE, ask(address, &head.headers, body)).await;
    let answered = match asked {
        Ok(Ok(answered)) => answered,
        Ok(Err(error)) => {
            return Ok(model_error(name, 0, &format!("the container did not answer: {error:#}")));
        }
        Err(_) => return Ok(model_error(name, 0, "the container did not answer within 60 seconds")),
    };
    if !(200..300).contains(&answered.status) {
        let text: String = String::from_utf8_lossy(&answered.body).chars().take(1024).collect();
        return Ok(model_error(name, answered.status, &text));
    }
    let mut answer = wire::respond(200, answered.body, "application/octet-stream");
    for header in [CONTENT_TYPE, ATTRIBUTES] {
        if let Some(value) = answered.headers.get(&header) {
            answer.headers_mut().insert(header, value.clone());
        }
    }
    if let Ok(variant) = HeaderValue::from_str(&variant) {
        answer.headers_mut().insert(HeaderName::from_static("x-amzn-invoked-production-variant"), variant);
    }
    Ok(answer)
}

fn invalid(message: String) -> Failure {
    Failure::new("ValidationError", message, 400)
}

/// The container's address and the variant's name.
fn look(platform: &Platform, name: &str) -> Result<(SocketAddr, String), Failure> {
    let document = platform
        .endpoints
        .job(name)
        .map_err(|_| invalid(format!("Endpoint {name} of this host not found.")))?;
    let endpoint: Endpoint = document.status()?;
    let deployment = deployment(platform, &endpoint)?;
    match (deployment.endpoint_status, deployment.address) {
        (EndpointStatus::InService, Some(address)) => Ok((address, endpoint.variant.variant_name)),
        (status, _) => Err(invalid(format!("Endpoint {name} is {status:?}, not InService."))),
    }
}

async fn ask(address: SocketAddr, headers: &HeaderMap, body: Bytes) -> Result<Answered> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::post("/invocations").header(HOST, address.to_string());
    for header in [ACCEPT, CONTENT_TYPE, ATTRIBUTES] {
        if let Some(value) = headers.get(&header) {
            request = request.header(header, value);
        }
    }
    let answer = sender.send_request(request.body(Full::new(body))?).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MOST_OF_INVOKE).collect().await;
    connection.abort();
    let body = body.map_err(|error| anyhow::anyhow!("its body is not one of at most 6 MB: {error}"))?;
    Ok(Answered { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
}

/// ModelError, with what the container answered.
fn model_error(name: &str, status: u16, text: &str) -> Answer {
    let message = format!("Received {status} from the container of {name} with message {text:?}");
    let mut answer = wire::failed(&Failure::new("ModelError", message.clone(), 424));
    let body = json!({
        "Message": message,
        "OriginalMessage": text,
        "OriginalStatusCode": if status == 0 { 500 } else { status },
    });
    *answer.body_mut() = Full::new(body.to_string().into());
    answer
}

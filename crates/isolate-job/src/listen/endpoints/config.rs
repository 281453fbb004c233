//! Endpoint configurations: documents that name a model.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::listen::Platform;
use crate::listen::models::{created, found, items};
use crate::listen::page::{Listing, Order, Page};
use crate::listen::wire::Failure;
use crate::request::read_as;
use crate::status::{ModelStatus, Scope, arn};
use crate::train::now;

/// What an endpoint is made from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    endpoint_config_name: String,
    pub(super) production_variants: Vec<Variant>,
}

/// Its container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::listen) struct Variant {
    pub(in crate::listen) variant_name: String,
    pub(super) model_name: String,
    pub(super) instance_type: Option<String>,
    initial_instance_count: u32,
    #[serde(rename = "ContainerStartupHealthCheckTimeoutInSeconds")]
    pub(super) startup_timeout: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    endpoint_config_name: String,
}

pub(in crate::listen) fn create(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let config = read_as::<Config>("CreateEndpointConfig", body)?;
    let [variant] = &config.data.production_variants[..] else {
        return Err(Failure::validation(
            "ProductionVariants: an endpoint has one container; give one variant",
        ));
    };
    if variant.initial_instance_count != 1 {
        let why = "ProductionVariants[0].InitialInstanceCount: an endpoint has one container; give 1";
        return Err(Failure::validation(why));
    }
    let model: ModelStatus = found(&platform.models, "model", &variant.model_name)?.status()?;
    let name = &config.data.endpoint_config_name;
    let arn = arn(&Scope::of_arn(&model.model_arn), "endpoint-config", name);
    let mut described = config.given;
    described.remove("Tags");
    described.insert("EndpointConfigArn".to_owned(), json!(arn));
    described.insert("CreationTime".to_owned(), json!(now()));
    created(&platform.configs, name, body, &described)?;
    Ok(json!({ "EndpointConfigArn": arn }))
}

pub(in crate::listen) fn describe(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { endpoint_config_name: name } = read_as("DescribeEndpointConfig", body)?.data;
    Ok(found(&platform.configs, "endpoint configuration", &name)?.status()?)
}

pub(in crate::listen) fn delete(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { endpoint_config_name: name } = read_as("DeleteEndpointConfig", body)?.data;
    found(&platform.configs, "endpoint configuration", &name)?.remove()?;
    Ok(Value::Null)
}

pub(in crate::listen) fn list(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let page: Page = read_as("ListEndpointConfigs", body)?.data;
    let summary = &["EndpointConfigName", "EndpointConfigArn", "CreationTime"];
    let listing = Listing { member: "EndpointConfigs", summary, status: "", order: Order::Descending };
    page.of(items(&platform.configs)?, listing)
}

/// The configuration of an endpoint, and its variant.
pub(super) fn variant(platform: &Platform, name: &str) -> Result<Variant, Failure> {
    let config = found(&platform.configs, "endpoint configuration", name)?;
    let config: Config = read_as("CreateEndpointConfig", &config.request()?)?.data;
    let variant = config.production_variants.into_iter().next();
    variant.ok_or_else(|| Failure::validation(format!("endpoint configuration {name} has no variant")))
}

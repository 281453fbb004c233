//! The `List` operations: filters, order and pages, of whatever is listed.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::wire::Failure;

/// What a `List` operation is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Page {
    sort_by: Option<String>,
    sort_order: Option<Order>,
    next_token: Option<String>,
    max_results: Option<usize>,
    name_contains: Option<String>,
    creation_time_before: Option<f64>,
    creation_time_after: Option<f64>,
    last_modified_time_before: Option<f64>,
    last_modified_time_after: Option<f64>,
    status_equals: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// What is listed: its name, its description, and the members of the description that are in its summary.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) described: Value,
}

/// How the items of an operation are listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
    /// The member of the answer.
    pub(super) member: &'static str,
    /// The members of a summary.
    pub(super) summary: &'static [&'static str],
    /// The member that has the state.
    pub(super) status: &'static str,
    /// The order that the API documents.
    pub(super) order: Order,
}

/// As many as the API answers when it is not asked for a number.
const DEFAULT: usize = 10;

/// In place of an order that the operation has sorted by itself.
const AS_GIVEN: &str = "";

impl Page {
    /// Whether it is asked for this order, which is then the operation's to make.
    pub(super) fn takes_order(&mut self, sort_by: &str) -> bool {
        let is_asked = self.sort_by.as_deref() == Some(sort_by);
        if is_asked {
            self.sort_by = Some(AS_GIVEN.to_owned());
        }
        is_asked
    }

    /// The answer.
    pub(super) fn of(&self, mut items: Vec<Item>, listing: Listing) -> Result<Value, Failure> {
        items.retain(|item| self.has(item, listing));
        match self.sort_by.as_deref() {
            Some("Name" | AS_GIVEN) => {}
            Some("Status") => items.sort_by_key(|item| text(item, listing.status)),
            _ => {
                items.sort_by(|one, other| time(one, "CreationTime").total_cmp(&time(other, "CreationTime")))
            }
        }
        if self.sort_order.unwrap_or(listing.order) == Order::Descending {
            items.reverse();
        }
        let from = match &self.next_token {
            None => 0,
            Some(token) => {
                let last = items.iter().position(|item| item.name == *token);
                last.ok_or_else(|| {
                    Failure::validation("NextToken: is not of this list any more; begin again")
                })? + 1
            }
        };
        let page: Vec<_> = items.iter().skip(from).take(self.max_results.unwrap_or(DEFAULT)).collect();
        let summary = |item: &&Item| -> Map<String, Value> {
            let member = |name: &&str| Some(((*name).to_owned(), item.described.get(*name)?.clone()));
            listing.summary.iter().filter_map(member).collect()
        };
        let mut answer = json!({ listing.member: page.iter().map(summary).collect::<Vec<_>>() });
        if let Some(last) = page.last()
            && from + page.len() < items.len()
        {
            answer["NextToken"] = json!(last.name);
        }
        Ok(answer)
    }

    fn has(&self, item: &Item, listing: Listing) -> bool {
        let (created, modified) = (time(item, "CreationTime"), time(item, "LastModifiedTime"));
        self.name_contains.as_ref().is_none_or(|part| item.name.to_lowercase().contains(&part.to_lowercase()))
            && self.creation_time_before.is_none_or(|before| created < before)
            && self.creation_time_after.is_none_or(|after| created > after)
            && self.last_modified_time_before.is_none_or(|before| modified < before)
            && self.last_modified_time_after.is_none_or(|after| modified > after)
            && self.status_equals.as_ref().is_none_or(|status| text(item, listing.status) == *status)
    }
}

fn time(item: &Item, member: &str) -> f64 {
    item.described[member].as_f64().unwrap_or_default()
}

fn text(item: &Item, member: &str) -> String {
    item.described[member].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing =
        Listing { member: "Models", summary: &["ModelName"], status: "", order: Order::Descending };

    fn items() -> Vec<Item> {
        let item = |index: usize| Item {
            name: format!("m{index:02}"),
            described: json!({ "ModelName": format!("m{index:02}"), "CreationTime": index, "More": 1 }),
        };
        (0..25).map(item).collect()
    }

    fn page(asked: Value) -> Result<Value, Failure> {
        serde_json::from_value::<Page>(asked).unwrap().of(items(), LISTING)
    }

    fn names(answer: &Value) -> Vec<&str> {
        answer["Models"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["ModelName"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn pages_have_every_item_once() {
        let (mut token, mut found) = (Value::Null, Vec::new());
        for _ in 0..3 {
            let answer = page(json!({ "NextToken": token, "SortOrder": "Ascending" })).unwrap();
            found.extend(names(&answer).iter().map(|name| (*name).to_owned()));
            token = answer["NextToken"].clone();
        }
        assert_eq!(found, (0..25).map(|index| format!("m{index:02}")).collect::<Vec<_>>());
        assert_eq!(token, Value::Null);
        assert!(page(json!({ "NextToken": "gone" })).is_err());
    }

    #[test]
    fn filters_and_orders_are_those_of_the_request() {
        assert_eq!(names(&page(json!({ "MaxResults": 2 })).unwrap()), ["m24", "m23"]);
        assert_eq!(names(&page(json!({ "NameContains": "M1", "MaxResults": 1 })).unwrap()), ["m19"]);
        assert_eq!(
            names(&page(json!({ "CreationTimeAfter": 3.5, "CreationTimeBefore": 5 })).unwrap()),
            ["m04"]
        );
        let answer = page(json!({ "SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 1 })).unwrap();
        assert_eq!(answer["Models"], json!([{ "ModelName": "m00" }]));
    }
}

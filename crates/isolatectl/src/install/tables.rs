//! TOML documents, edited without changing comments, order and spacing.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use oci_isolate::files::{self, SMALL_LIMIT};

/// The document in a file; an empty one if there is no file.
///
/// # Errors
/// It cannot be read, or is not TOML.
pub(crate) fn read(file: &Path) -> Result<DocumentMut> {
    if !file.exists() {
        return Ok(DocumentMut::new());
    }
    let bytes = files::read(file, SMALL_LIMIT)?.bytes;
    let text = String::from_utf8(bytes).with_context(|| format!("cannot understand {}", file.display()))?;
    parse(&text).with_context(|| format!("cannot understand {}", file.display()))
}

/// Reads a document.
///
/// # Errors
/// It is not TOML; the message contains the line and the column.
pub(crate) fn parse(text: &str) -> Result<DocumentMut> {
    text.parse::<DocumentMut>().map_err(|error| {
        let at = super::line_and_column(text, error.span().map_or(0, |span| span.start));
        anyhow!("{at}: {}; correct it first", error.message().replace('\n', " "))
    })
}

/// The document as text. toml_edit drops a byte order mark and normalizes line endings; here both are as in
/// `like`.
///
/// # Errors
/// `like` has mixed line endings, of which only one could be kept.
pub(super) fn written(document: &DocumentMut, like: &str) -> Result<String> {
    let text = document.to_string().replace("\r\n", "\n");
    let text = match like.matches("\r\n").count() {
        0 => text,
        all if all == like.matches('\n').count() => text.replace('\n', "\r\n"),
        _ => bail!("some of its lines end in CR LF and some in LF; correct it first"),
    };
    Ok(if like.starts_with(BOM) { format!("{BOM}{text}") } else { text })
}

const BOM: char = '\u{feff}';

/// The item at a path of keys.
pub(crate) fn at<'d>(document: &'d DocumentMut, path: &[&str]) -> Option<&'d Item> {
    path.iter().try_fold(document.as_item(), |here, key| here.as_table_like()?.get(key))
}

/// The table at a path of keys, created if there is none.
pub(super) fn make<'d>(document: &'d mut DocumentMut, path: &[&str]) -> Result<&'d mut dyn TableLike> {
    let mut here: &mut dyn TableLike = document.as_table_mut();
    for key in path {
        if !here.contains_key(key) {
            let mut table = Table::new();
            table.set_implicit(true);
            here.insert(key, Item::Table(table));
        }
        here = here
            .get_mut(key)
            .and_then(Item::as_table_like_mut)
            .with_context(|| format!("{key} is not a table"))?;
    }
    Ok(here)
}

/// Removes the item at a path, and the tables on the way that are then empty and did not exist before.
pub(super) fn take_out(document: &mut DocumentMut, path: &[&str], before: &DocumentMut) {
    for length in (1..=path.len()).rev() {
        let (way, key) = (&path[..length - 1], path[length - 1]);
        let empty =
            at(document, &path[..length]).and_then(Item::as_table_like).is_none_or(TableLike::is_empty);
        if length < path.len() && (!empty || at(before, &path[..length]).is_some()) {
            return;
        }
        if let Some(table) = table_mut(document, way) {
            table.remove(key);
        }
    }
}

/// The table at a path, mutable.
pub(super) fn table_mut<'d>(document: &'d mut DocumentMut, path: &[&str]) -> Option<&'d mut dyn TableLike> {
    let whole: &mut dyn TableLike = document.as_table_mut();
    path.iter().try_fold(whole, |here, key| here.get_mut(key)?.as_table_like_mut())
}

/// Sets a key's value; the comment after the old one stays.
pub(super) fn set(table: &mut dyn TableLike, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// Restores the value that a key had before ours, or removes the key.
pub(super) fn put_back(document: &mut DocumentMut, path: &[&str], old: Option<&Item>) {
    let Some((key, way)) = path.split_last() else { return };
    let Some(table) = table_mut(document, way) else { return };
    match old.and_then(Item::as_value) {
        Some(old) => set(table, key, old.clone()),
        None => {
            table.remove(key);
        }
    }
}

/// The strings of a list.
pub(crate) fn strings(item: Option<&Item>) -> Vec<String> {
    let items = item.and_then(Item::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Appends strings to a list, created from `base` if there is none, unless it contains them.
pub(super) fn extend(table: &mut dyn TableLike, key: &str, base: &[String], more: &[&str]) -> Result<()> {
    if !table.contains_key(key) {
        table.insert(key, Item::Value(base.iter().collect::<Array>().into()));
    }
    let list =
        table.get_mut(key).and_then(Item::as_array_mut).with_context(|| format!("{key} is not a list"))?;
    for new in more {
        if !list.iter().any(|there| there.as_str() == Some(new)) {
            list.push(*new);
        }
    }
    Ok(())
}

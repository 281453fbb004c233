//! `s3://BUCKET/KEY`. The key is taken literally: nothing is decoded or normalised.

use std::fmt;

/// A place in Amazon S3.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Uri {
    /// The bucket's name.
    pub bucket: String,
    /// The key, or the beginning of keys; may be empty.
    pub key: String,
}

/// The most bytes of a key.
pub const MOST_OF_KEY: usize = 1024;

impl S3Uri {
    /// Reads a URI.
    ///
    /// # Errors
    /// Another scheme, no bucket, a bucket by access point, a key that S3 does not have.
    pub fn read(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err("is not an S3 URI; give s3://BUCKET/KEY".to_owned());
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.starts_with("arn:") {
            return Err("names an access point, which is not supported; give the bucket".to_owned());
        }
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !(3..=255).contains(&bucket.len()) || !bucket.bytes().all(is_name) {
            return Err(format!("{bucket:?} is not a bucket name; give s3://BUCKET/KEY"));
        }
        if key.len() > MOST_OF_KEY {
            return Err(format!("the key has {} bytes; the most is {MOST_OF_KEY}", key.len()));
        }
        if key.chars().any(char::is_control) {
            return Err("the key has a control character".to_owned());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// The URI of a key below this one, with exactly one slash between.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let key = self.key.trim_end_matches('/');
        let key = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
        Self { bucket: self.bucket.clone(), key }
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_everything_behind_the_bucket_as_it_stands() {
        let uri = S3Uri::read("s3://data/a//b%20c/../d?x#y").unwrap();
        assert_eq!((uri.bucket.as_str(), uri.key.as_str()), ("data", "a//b%20c/../d?x#y"));
        assert_eq!(S3Uri::read("s3://data").unwrap(), S3Uri::read("s3://data/").unwrap());
    }

    #[test]
    fn what_is_no_bucket_is_refused() {
        for text in [
            "https://data.s3.amazonaws.com/a",
            "S3://data/a",
            "s3://",
            "s3:///a",
            "s3://da*ta/a",
            "s3://user@data/a",
            "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/x/a",
            "s3://data/a\nb",
        ] {
            assert!(S3Uri::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_stands_below_has_one_slash_between() {
        for text in ["s3://data/out", "s3://data/out/", "s3://data/out//"] {
            assert_eq!(S3Uri::read(text).unwrap().below("x/y").to_string(), "s3://data/out/x/y");
        }
        assert_eq!(S3Uri::read("s3://data").unwrap().below("x").to_string(), "s3://data/x");
    }
}

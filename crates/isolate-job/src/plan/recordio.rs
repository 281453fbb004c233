//! The framing of RecordIO, as MXNet and SageMaker's own readers have it: a magic number, the length, the content, and zeros up to a
//! multiple of four bytes. The three upper bits of the length mark records in several parts; SageMaker's readers do not take these
//! (sagemaker-tensorflow: "Multipart records are not supported"), so every record is a single part, and its content is not escaped.

/// The bytes before the content.
pub const HEADER: usize = 8;

/// The most bytes of a record: the length has 29 bits.
pub const MOST_OF_RECORD: u64 = (1 << 29) - 1;

const MAGIC: u32 = 0xced7_230a;

/// What goes before a content of this length; nothing if a record cannot hold it.
#[must_use]
pub fn header(length: u64) -> Option<[u8; HEADER]> {
    let length = u32::try_from(length).ok().filter(|length| u64::from(*length) <= MOST_OF_RECORD)?;
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[4..].copy_from_slice(&length.to_le_bytes());
    Some(header)
}

/// What goes after a content of this length.
#[must_use]
pub fn padding(length: u64) -> &'static [u8] {
    &[0; 3][..(length.wrapping_neg() % 4) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: &[u8]) -> Vec<u8> {
        let length = content.len() as u64;
        [header(length).unwrap().as_slice(), content, padding(length)].concat()
    }

    #[test]
    fn a_record_is_what_the_readers_of_mxnet_and_sagemaker_take() {
        // sagemaker.amazon.common.write_recordio(f, content) writes these.
        assert_eq!(record(b""), b"\x0a\x23\xd7\xce\0\0\0\0");
        assert_eq!(record(b"abcd"), b"\x0a\x23\xd7\xce\x04\0\0\0abcd");
        assert_eq!(record(b"abcde"), b"\x0a\x23\xd7\xce\x05\0\0\0abcde\0\0\0");
    }

    #[test]
    fn every_record_is_aligned_and_has_no_flag() {
        for length in (0..70).chain([MOST_OF_RECORD]) {
            let padded = HEADER as u64 + length + padding(length).len() as u64;
            assert_eq!(padded % 4, 0);
            assert!(padding(length).len() < 4);
            assert_eq!(header(length).unwrap()[7] >> 5, 0);
        }
        assert_eq!(header(MOST_OF_RECORD + 1), None);
        assert_eq!(header(1 << 32), None);
    }
}

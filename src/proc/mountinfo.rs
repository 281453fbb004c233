//! The mounts of a mount namespace, as the kernel lists them (proc_pid_mountinfo(5)).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::sys::stat::makedev;

use crate::rules::mounts::layers_of;

/// A line: `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue`.
pub struct MountInfo<'l> {
    /// The device number of the file system while it is mounted.
    pub device: &'l str,
    root: &'l [u8],
    point: &'l [u8],
    options: &'l [u8],
    /// Such as `shared:2`.
    propagation: Vec<&'l [u8]>,
    /// The file system's name.
    pub kind: &'l str,
    of_file_system: &'l [u8],
}

/// Every mount in the text. Invalid lines are skipped.
pub fn parse_mountinfo(text: &[u8]) -> impl Iterator<Item = MountInfo<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(MountInfo::read)
}

impl<'l> MountInfo<'l> {
    pub(crate) fn read(line: &'l [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let device = str::from_utf8(fields.next()?).ok()?;
        let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let propagation = fields.by_ref().take_while(|field| *field != b"-").collect();
        // A name that is not UTF-8 is on no list either.
        let kind = str::from_utf8(fields.next()?).unwrap_or("unreadable");
        Some(Self { device, root, point, options, propagation, kind, of_file_system: fields.nth(1)? })
    }

    /// The file system's device number as in stat(2).
    pub(crate) fn device(&self) -> u64 {
        let (major, minor) = self.device.split_once(':').unwrap_or_default();
        makedev(major.parse().unwrap_or_default(), minor.parse().unwrap_or_default())
    }

    /// The mounted part of its file system.
    pub fn root(&self) -> PathBuf {
        unescaped(self.root)
    }

    /// Its mount point.
    pub fn point(&self) -> PathBuf {
        unescaped(self.point)
    }

    /// Whether the mount or its whole file system is read-only.
    pub fn is_readonly(&self) -> bool {
        [self.options, self.of_file_system].iter().any(|options| has(options, "ro"))
    }

    /// The layers of an overlay, without the backslashes that escape separators.
    pub fn layers(&self) -> Vec<String> {
        let options = self.of_file_system.split(|byte| *byte == b',').map(unescaped);
        let layers = options.filter_map(|option| option.to_str().map(layers_of)).flatten();
        layers.filter(|layer| !layer.contains('\\')).collect()
    }

    /// The number of the peer group with which it shares mounts (`shared`), or from which it receives them
    /// (`master`).
    pub fn group(&self, how: &str) -> Option<&'l str> {
        let number = |field: &&'l [u8]| str::from_utf8(field).ok()?.strip_prefix(how)?.strip_prefix(':');
        self.propagation.iter().find_map(number)
    }

    /// The upper directory of an overlay.
    pub(crate) fn upper(&self) -> Option<String> {
        let mut options = self.of_file_system.split(|byte| *byte == b',');
        let upper = options.find(|option| option.starts_with(b"upperdir="))?;
        layers_of(unescaped(upper).to_str()?).pop()
    }

    /// Whether the file system itself has an option, at every mount.
    pub fn has(&self, option: &str) -> bool {
        has(self.of_file_system, option)
    }
}

fn has(options: &[u8], option: &str) -> bool {
    options.split(|byte| *byte == b',').any(|word| word == option.as_bytes())
}

/// Spaces, tabs, newlines and backslashes are encoded as `\ooo`.
fn unescaped(text: &[u8]) -> PathBuf {
    if !text.contains(&b'\\') {
        return OsStr::from_bytes(text).into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let octal = behind.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|octal| u8::from_str_radix(str::from_utf8(octal).ok()?, 8).ok());
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &behind[3..] } else { behind };
    }
    OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_escapes() {
        let text =
            b"36 35 98:0 /sub /mnt1\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root ro,errors=continue\n\
                     37 35 0:5 / /srv/pr\xffoc rw - proc proc rw\nnot a mount\n";
        let [one, two] = parse_mountinfo(text).collect::<Vec<_>>().try_into().ok().expect("there are two");
        assert_eq!((one.root(), one.point(), one.kind), ("/sub".into(), "/mnt1 2".into(), "ext3"));
        assert_eq!((one.device, one.group("shared"), one.group("master")), ("98:0", Some("2"), Some("1")));
        assert_eq!((two.group("shared"), two.group("master")), (None, None));
        assert!(one.is_readonly() && one.has("errors=continue") && !one.has("noatime"));
        let text = br"312 281 0:119 / /m rw - overlay overlay rw,lowerdir=l\134:b:/tmp/l\134\054a,upperdir=/u,redirect_dir=on";
        let layers: Vec<_> = parse_mountinfo(text).flat_map(|mount| mount.layers()).collect();
        assert_eq!(layers, ["l:b", "/tmp/l,a", "/u"]);
        assert!(!two.is_readonly() && two.kind == "proc");
        assert_eq!(two.point(), PathBuf::from(OsString::from_vec(b"/srv/pr\xffoc".into())));
    }
}

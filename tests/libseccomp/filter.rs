//! libseccomp behind a pipe, and the kernel's side of a filter: classic BPF over `struct seccomp_data`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// How a program calls the kernel of an x86-64 machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abi {
    X86_64,
    X32,
    I386,
}

impl Abi {
    pub(crate) const ALL: [Self; 3] = [Self::X86_64, Self::X32, Self::I386];

    fn audit(self) -> u32 {
        if self == Self::I386 { 0x4000_0003 } else { 0xc000_003e }
    }

    /// Names and numbers; asm/unistd_64.h, unistd_x32.h, unistd_32.h.
    pub(crate) fn numbers(self) -> &'static [(&'static str, u32)] {
        const X32: u32 = 0x4000_0000;
        match self {
            Self::X86_64 => &[
                ("socket", 41),
                ("connect", 42),
                ("socketpair", 53),
                ("setrlimit", 160),
                ("prlimit64", 302),
                ("add_key", 248),
                ("request_key", 249),
                ("keyctl", 250),
                ("open_by_handle_at", 304),
                ("io_uring_setup", 425),
                ("io_uring_enter", 426),
                ("io_uring_register", 427),
            ],
            Self::X32 => &[
                ("socket", X32 + 41),
                ("connect", X32 + 42),
                ("socketpair", X32 + 53),
                ("setrlimit", X32 + 160),
                ("prlimit64", X32 + 302),
                ("add_key", X32 + 248),
                ("request_key", X32 + 249),
                ("keyctl", X32 + 250),
                ("open_by_handle_at", X32 + 304),
                ("io_uring_setup", X32 + 425),
                ("io_uring_enter", X32 + 426),
                ("io_uring_register", X32 + 427),
            ],
            Self::I386 => &[
                ("setrlimit", 75),
                ("socketcall", 102),
                ("prlimit64", 340),
                ("add_key", 286),
                ("request_key", 287),
                ("keyctl", 288),
                ("open_by_handle_at", 342),
                ("socket", 359),
                ("socketpair", 360),
                ("connect", 362),
                ("io_uring_setup", 425),
                ("io_uring_enter", 426),
                ("io_uring_register", 427),
            ],
        }
    }
}

/// A system call.
#[derive(Debug)]
pub(crate) struct Call {
    abi: Abi,
    /// For the message of a failed test.
    #[allow(dead_code, reason = "shown by Debug")]
    name: &'static str,
    number: u32,
    args: [u64; 3],
}

impl Call {
    pub(crate) fn new(abi: Abi, name: &'static str, args: [u64; 3]) -> Self {
        let number = abi.numbers().iter().find(|(known, _)| *known == name).unwrap().1;
        Self { abi, name, number, args }
    }

    pub(crate) fn abi(&self) -> Abi {
        self.abi
    }

    /// A word of `struct seccomp_data` (linux/seccomp.h).
    fn word(&self, offset: u32) -> u32 {
        let arg = |at: u32| self.args.get(at as usize).copied().unwrap_or_default();
        match offset {
            0 => self.number,
            4 => self.abi.audit(),
            8 | 12 => 0,
            _ if offset.is_multiple_of(8) => arg((offset - 16) / 8) as u32,
            _ => (arg((offset - 16) / 8) >> 32) as u32,
        }
    }
}

/// A loaded filter.
pub(crate) struct Filter(Vec<(u32, usize, usize, u32)>);

impl Filter {
    /// Whether the kernel, an agent or a tracer would let the call be made.
    pub(crate) fn passes(&self, call: &Call) -> bool {
        // ALLOW, LOG, TRACE, USER_NOTIF
        [0x7fff_0000, 0x7ffc_0000, 0x7ff0_0000, 0x7fc0_0000].contains(&(self.run(call) & 0xffff_0000))
    }

    /// The error number with which the kernel answers without making the call; 0 looks like success.
    pub(crate) fn answers(&self, call: &Call) -> Option<u32> {
        let decided = self.run(call);
        (decided & 0xffff_0000 == 0x0005_0000).then_some(decided & 0xffff)
    }

    fn run(&self, call: &Call) -> u32 {
        let (mut at, mut a) = (0, 0_u32);
        loop {
            let (code, jt, jf, k) = self.0[at];
            at += 1;
            let mut jump = |yes: bool| at += if yes { jt } else { jf };
            match code {
                0x20 => a = call.word(k),
                0x54 => a &= k,
                0x05 => at += k as usize,
                0x15 => jump(a == k),
                0x25 => jump(a > k),
                0x35 => jump(a >= k),
                0x45 => jump(a & k != 0),
                0x06 => return k,
                _ => panic!("libseccomp made an instruction that this test does not know: {code:#x}"),
            }
        }
    }
}

/// The library, in a process of its own.
pub(crate) struct Library {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Library {
    pub(crate) fn start() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libseccomp/filter.c");
        let program = tempfile::Builder::new().prefix("filter-").tempdir().unwrap().keep().join("filter");
        let built =
            Command::new("gcc").arg("-O1").arg("-o").arg(&program).arg(source).arg("-lseccomp").status();
        assert!(built.unwrap().success(), "cannot build filter.c; run hack/engines");
        let mut child = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::fs::remove_dir_all(program.parent().unwrap()).unwrap();
        let (ask, answer) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, ask, answer }
    }

    /// The filter of a profile, or libseccomp's complaint.
    pub(crate) fn filter(&mut self, seccomp: &Value) -> Result<Filter, String> {
        if seccomp.is_null() {
            return Err("no profile".into());
        }
        let text = question(seccomp);
        self.ask.write_all(text.as_bytes()).unwrap();
        self.ask.flush().unwrap();
        let mut line = || {
            let mut line = String::new();
            self.answer.read_line(&mut line).unwrap();
            line.trim().to_owned()
        };
        let first = line();
        let Ok(length) = first.parse::<usize>() else { return Err(first) };
        let instruction = |line: String| {
            let words: Vec<u32> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            (words[0], words[1] as usize, words[2] as usize, words[3])
        };
        Ok(Filter((0..length).map(|_| instruction(line())).collect()))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The profile in filter.c's words, with runc's and crun's way of taking two conditions on one argument.
fn question(seccomp: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut text = format!("new {}\n", action(&seccomp["defaultAction"], &seccomp["defaultErrnoRet"]));
    for arch in list(&seccomp["architectures"]) {
        let name = arch.as_str().unwrap().trim_start_matches("SCMP_ARCH_").to_lowercase();
        text += &format!("arch {name}\n");
    }
    for rule in list(&seccomp["syscalls"]) {
        let action = action(&rule["action"], &rule["errnoRet"]);
        let args: Vec<(u64, String)> =
            list(&rule["args"]).iter().map(|arg| (arg["index"].as_u64().unwrap(), condition(arg))).collect();
        let repeats =
            args.iter().any(|(index, _)| args.iter().filter(|(other, _)| other == index).count() > 1);
        for name in list(&rule["names"]) {
            let name = name.as_str().unwrap();
            if repeats {
                args.iter().for_each(|(_, arg)| text += &format!("rule {action} {name} 1 {arg}\n"));
            } else {
                let all: Vec<&str> = args.iter().map(|(_, arg)| arg.as_str()).collect();
                text += &format!("rule {action} {name} {} {}\n", all.len(), all.join(" "));
            }
        }
    }
    text + "end\n"
}

/// seccomp.h
fn action(name: &Value, errno: &Value) -> u32 {
    let errno = errno.as_u64().unwrap_or(1) as u32;
    match name.as_str().unwrap() {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_KILL" => 0,
        other => panic!("{other}"),
    }
}

/// seccomp.h, `enum scmp_compare`
fn condition(arg: &Value) -> String {
    const OPS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let op = arg["op"].as_str().unwrap().trim_start_matches("SCMP_CMP_");
    let op = 1 + OPS.iter().position(|known| *known == op).unwrap();
    format!("{} {op} {} {}", arg["index"], arg["value"], arg["valueTwo"].as_u64().unwrap_or(0))
}

//! Destinations that a container tries known numbers of times, and whether these are what was counted.

use serde_json::{Value, json};

use crate::command::Finished;
use crate::host::EngineHost;

/// For bash: five destinations, and one that is the container's own. Between them the kernel's clock ticks, which gives the order.
pub const TRIES: &str = "
    times() { sleep 0.02; for n in $(seq $1); do (exec 3<>/dev/$2; echo >&3) 2>/dev/null; done; }
    times 3 tcp/1.2.3.4/443; times 5 udp/8.8.8.8/53; times 2 tcp/2001:db8::1/443
    times 7 tcp/169.254.169.254/80; times 6 udp/127.0.0.11/53; times 4 tcp/127.0.0.1/9; true";

const TRIED: [(&str, &str, u64, u64); 5] = [
    ("tcp", "1.2.3.4", 443, 3),
    ("udp", "8.8.8.8", 53, 5),
    ("tcp", "2001:db8::1", 443, 2),
    ("tcp", "169.254.169.254", 80, 7),
    ("udp", "127.0.0.11", 53, 6),
];

const WRITTEN: &str = "5 destinations, 23 packets: tcp 1.2.3.4:443 3, udp 8.8.8.8:53 5, tcp [2001:db8::1]:443 2, \
     tcp 169.254.169.254:80 7, udp 127.0.0.11:53 6";

/// Settings that count, with a log in this directory of the host.
pub fn counting(host: &EngineHost, directory: &str) -> String {
    let log = host.at(&format!("{directory}audit.log"));
    format!("[attempts]\ncount = true\n[audit]\nfile = {log:?}\n")
}

/// Whether the report has each destination as often as it was tried, and nothing else.
pub fn exact(told: &Finished) -> Vec<String> {
    let Ok(report) = serde_json::from_str::<Value>(&told.out) else { return vec![told.to_string()] };
    let one = |told: &Value| {
        let text = |member: &str| told[member].as_str().unwrap().to_owned();
        let number = |member: &str| told[member].as_u64().unwrap();
        (text("protocol"), text("ip"), number("port"), number("count"))
    };
    let told: Vec<_> = report["attempts"].as_array().unwrap().iter().map(one).collect();
    let tried = TRIED.map(|(protocol, address, port, count)| (protocol.into(), address.into(), port, count));
    let complaint = (told != tried || report["missing"] != json!([])).then(|| report.to_string());
    complaint.into_iter().collect()
}

/// Whether the log has the line, and nothing is left of the container: no file, and so no mount on one.
pub fn written(host: &EngineHost, directory: &str) -> Vec<String> {
    let log = std::fs::read_to_string(host.at(&format!("{directory}audit.log"))).unwrap_or_default();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.filter(|line| line["decision"] == "attempts").collect();
    let is_there = lines.len() == 1 && lines[0]["why"] == WRITTEN;
    let look =
        "find /run/oci-isolate/containers /run/user/*/oci-isolate/containers -type f 2>/dev/null || true";
    let left = host.sh(&format!("{look}; ! grep oci-isolate/containers /proc/self/mountinfo"));
    let complaints = [(is_there, log), (left.well() && left.out.is_empty(), left.to_string())];
    complaints.into_iter().filter(|(holds, _)| !holds).map(|(_, complaint)| complaint).collect()
}

//! Every packet that the host's links saw: bridges, veths, the uplink and the loopback.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::command::{command, say, wait_for};
use crate::host::EngineHost;

/// The packets that the kernel sends by itself when a link comes up, as a filter of tcpdump: ARP, IGMP, and
/// of ICMPv6 listener reports (behind a hop-by-hop header, or 130 to 132), router and neighbour discovery
/// (133 to 136).
const CHATTER: &str =
    "arp or igmp or (ip6 and ip6[6] = 0) or (ip6 and ip6[6] = 58 and ip6[40] >= 130 and ip6[40] <= 136)";

/// A running capture.
pub struct Capture<'h> {
    host: &'h EngineHost,
    file: String,
    child: Child,
    visits: usize,
}

impl<'h> Capture<'h> {
    /// Starts to capture on all links of the host, including those created later.
    pub fn start(host: &'h EngineHost) -> Self {
        let file = host.at("capture.pcap");
        let errors = host.dir().join("tcpdump.err");
        let mut tcpdump = std::process::Command::new("nsenter");
        tcpdump.arg(format!("--net={}", host.world.host.path()));
        tcpdump.args([
            "setpriv",
            "--pdeathsig=KILL",
            "tcpdump",
            "--immediate-mode",
            "-U",
            "-n",
            "-Z",
            "root",
        ]);
        tcpdump.args(["-i", "any", "-w", &file, &format!("not ({CHATTER})")]);
        tcpdump.stdin(Stdio::null()).stdout(Stdio::null());
        tcpdump.stderr(std::fs::File::create(&errors).unwrap());
        let child = tcpdump.spawn().unwrap();
        let said = || std::fs::read_to_string(&errors).unwrap_or_default();
        let listens = wait_for(Duration::from_secs(10), || said().contains("listening on").then_some(()));
        assert!(listens.is_some(), "tcpdump does not listen: {}", said());
        Self { host, file, child, visits: host.world.visits().len() }
    }

    /// Ends the capture. Complaints about every packet, and about everything heard outside meanwhile.
    pub fn saw_nothing(self) -> Vec<String> {
        let (world, before) = (&self.host.world, self.visits);
        let packets = self.finish();
        let mut complaints: Vec<_> =
            packets.iter().take(10).map(|line| format!("a packet: {line}")).collect();
        if packets.len() > 10 {
            complaints.push(format!("and {} more packets", packets.len() - 10));
        }
        complaints.extend(world.visits()[before..].iter().map(|visit| format!("heard outside: {visit}")));
        complaints
    }

    /// Ends the capture: one line per packet. It ends with a packet of its own, so that an empty result means
    /// that there was nothing to see, and not that nothing was captured.
    pub fn finish(mut self) -> Vec<String> {
        let host = &self.host.world.host;
        let marker = host.inside(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"the end", "127.0.0.1:9").unwrap();
            format!("127.0.0.1.{} > 127.0.0.1.9: UDP", socket.local_addr().unwrap().port())
        });
        let mut seen = Vec::new();
        let ended = wait_for(Duration::from_secs(30), || {
            // In the host's namespace, where the link numbers in the file have names.
            let namespace = format!("--net={}", host.path());
            let mut reader = command("nsenter");
            let text = say(reader.args([&namespace, "tcpdump", "-n", "-r", &self.file])).out;
            seen = text.lines().map(str::to_owned).collect();
            seen.iter().any(|line| line.contains(&marker)).then_some(())
        });
        assert!(ended.is_some(), "the capture does not see its own last packet, so it proves nothing");
        drop(self.child.kill());
        drop(self.child.wait());
        // Port 9 on the loopback answers the marker with "unreachable".
        seen.retain(|line| !line.contains(&marker) && !line.contains("127.0.0.1 udp port 9 unreachable"));
        seen
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

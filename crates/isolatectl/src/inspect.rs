//! `isolatectl inspect`: one record, formatted or as JSON.

use std::fmt::{Display, Write};

use anyhow::Result;

use super::exit::Exit;
use super::{print, print_json};
use oci_isolate::diagnostics::escape_controls;
use oci_isolate::record::{Hosts, Record};
use oci_isolate::rewrite::RuleChanges;

pub(super) fn inspect(record: &Record, json: bool) -> Result<Exit> {
    if json {
        print_json(record)?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    writeln!(text, "container  {}", record.id)?;
    writeln!(text, "bundle     {}", record.bundle.display())?;
    writeln!(text, "asked by   {}", record.why)?;
    if let Some(init) = record.init {
        let status = init.dir().status().ok().filter(|_| init.runs());
        let state = status.as_ref().and_then(|status| status.field("State"));
        writeln!(text, "init       {}, {}", init.pid, state.unwrap_or("ended"))?;
    }
    for RuleChanges { rule, descriptions } in &record.applied {
        for description in descriptions {
            writeln!(text, "changed    {rule}: {}", escape_controls(description, &[]))?;
        }
    }
    if let Some(opened) = &record.opened {
        let ports: Vec<_> = opened.asked.ingress.iter().collect();
        line(&mut text, "ingress   ", &ports)?;
        line(&mut text, "peers     ", &opened.peers().iter().collect::<Vec<_>>())?;
        line(&mut text, "job       ", &opened.asked.job.iter().collect::<Vec<_>>())?;
        let remote = opened.remote.iter().map(|member| format!("{} on {}", member.pod.name, member.node));
        line(&mut text, "remote    ", &remote.collect::<Vec<_>>())?;
        if let (Some(_), Hosts::Left(why)) = (&opened.asked.job, &opened.hosts) {
            writeln!(text, "no names   {why}")?;
        }
    }
    match &record.sealed {
        None if record.network.is_joined() => {
            writeln!(text, "seal       joins a namespace that was sealed before")?
        }
        None => writeln!(text, "seal       not yet")?,
        Some(sealed) => {
            writeln!(text, "seal       namespace net:[{}]", sealed.netns.ino)?;
            let firewall =
                if sealed.firewall { "inet oci_isolate" } else { "none: this kernel has no nf_tables" };
            writeln!(text, "firewall   {firewall}")?;
            line(&mut text, "down      ", &sealed.links_down)?;
            line(&mut text, "removed   ", &sealed.links_removed)?;
            line(&mut text, "kept      ", &sealed.links_kept)?;
            line(&mut text, "own       ", &sealed.addresses_kept)?;
            line(&mut text, "blocked   ", &sealed.foreign_blocked)?;
        }
    }
    print(&text)?;
    Ok(Exit::Ok)
}

fn line<T: Display>(text: &mut String, head: &str, items: &[T]) -> std::fmt::Result {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    if items.is_empty() { Ok(()) } else { writeln!(text, "{head} {}", items.join(", ")) }
}

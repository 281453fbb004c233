# The samples of lap as a table, or as JSON with format=json. Times are medians in milliseconds.

{ count[$1] = $2; value[$1] = $3; lower[$1] = $4; upper[$1] = $5; rss[$1] = $6; order[NR] = $1 }

function ms(label) { return value[label] / 1e6 }

function life(name) { return ms(name ".create") + ms(name ".start") + ms(name ".delete") }

# A goal: what was measured, what it may be at most, whether that holds.
function goal(name, figure, most, unit) {
    goals++
    goal_name[goals] = name; goal_figure[goals] = figure; goal_most[goals] = most; goal_unit[goals] = unit
}

# What the floor adds to a call without a wrapper: the unit of the goals for single calls, since machines differ.
function added(label, verb) { return (ms(label) - ms(verb ".null")) / (ms(verb ".floor") - ms(verb ".null")) }

function sealing(name, base) { return (ms(name ".start") - ms(base ".start")) / (ms("state.floor") - ms("state.null")) }

# `start` in front of a runtime that does nothing.
function alone(name) { return (ms(name) - ms("state.null")) / (ms("state.floor") - ms("state.null")) }

function judge() {
    goal("state, passing through: added", added("state.shim", "state"), 1, "F")
    goal("create, passing through: added", added("create.shim", "create"), 1.2, "F")
    goal("create, isolating: added", added("isolating", "create"), 2.5, "F")
    goal("start, isolated, over bare runc", sealing("isolated", "bare"), 3, "F")
    goal("the same with a veth", sealing("isolated-veth", "bare-veth"), sealing("isolated", "bare") + 0.5, "F")
    goal("the seal alone", alone("seal"), 3, "F")
    goal("the same right after create", alone("seal-right-after-create"), 3, "F")
    goal("the seal alone, attempts counted", alone("seal-counting"), alone("seal") + 0.3, "F")
    goal("the same with a veth", alone("seal-with-veth"), alone("seal") + 0.5, "F")
    goal("with a veth, ingress and 1 peer", alone("seal-1-peer"), alone("seal-with-veth") + 1, "F")
    goal("each of 10,000 peers", (ms("seal-10000-peers") - ms("seal-1-peer")) / 10, 2, "us")
    goal("create + start + delete, isolated, to bare runc", life("isolated") / life("bare"), 1.045, "times")
    goal("the same with a veth", life("isolated-veth") / life("bare-veth"), 1.05, "times")
    goal("the same, ingress and 1 peer", life("open-1-veth") / life("bare-veth"), 1.08, "times")
    goal("the same, ingress and 10,000 peers", life("open-10000-veth") / life("bare-veth"), 1.5, "times")
    goal("without a seccomp profile, isolated, to bare", life("isolated-unprofiled") / life("bare-unprofiled"), 1.1, "times")
    goal("time per byte, env, 100 MB to 1 MB", per_byte("env-100M") / per_byte("env-1M"), 1.5, "times")
    goal("time per byte, mounts, 100 MB to 1 MB", per_byte("mounts-100M") / per_byte("mounts-1M"), 1.5, "times")
    goal("peak memory, small config", rss["linear.env-18K"] / 1024, 3 + 2 * value["size.env-18K"] / 1048576, "MiB")
    goal("peak memory, 20 MB config", rss["linear.env-20M"] / 1024, 28, "MiB")
    goal("static binary", value["size.binary"] / 1e6, 1.9, "MB")
}

function per_byte(name) { return value["linear." name] / value["size." name] }

function met(i) { return goal_figure[i] <= goal_most[i] }

END {
    judge()
    if (format == "json") json(); else table()
}

function wrapper(title, label, none, floor) {
    printf "  %-36s %8.3f   %.3f - %.3f", title, ms(label), lower[label] / 1e6, upper[label] / 1e6
    if (label != none) printf " %8.3f", ms(label) - ms(none)
    if (label != none && label != floor) printf " %8.3f", ms(label) - ms(floor)
    printf "\n"
}

function verb(name) {
    printf "%s\n", name
    wrapper("none", name ".null", name ".null", name ".floor")
    wrapper("static C program that execs (floor)", name ".floor", name ".null", name ".floor")
    wrapper("static Rust program that execs", name ".empty", name ".null", name ".floor")
    wrapper("/bin/sh that execs", name ".sh", name ".null", name ".floor")
    if ((name ".go") in value) wrapper("static Go program that execs", name ".go", name ".null", name ".floor")
    wrapper("oci-isolate, passing through", name ".shim", name ".null", name ".floor")
    if (name == "state") {
        wrapper("floor, the program on a tmpfs", "state.floor-tmpfs", name ".null", name ".floor")
        wrapper("oci-isolate on a tmpfs, passing", "state.shim-tmpfs", name ".null", "state.floor-tmpfs")
    }
    if (name == "create") {
        wrapper("oci-isolate, isolating", "isolating", name ".null", name ".floor")
        if ("create-limit" in value) wrapper("static C program, the same calls", "create-limit", name ".null", name ".floor")
    }
}

function lifecycle(title, name, base) {
    printf "  %-36s %8.2f %8.2f %8.2f %8.2f", title, ms(name ".create"), ms(name ".start"), ms(name ".delete"), life(name)
    if (name != base)
        printf "   %+6.2f   %5.3f", ms(name ".start") - ms(base ".start"), life(name) / life(base)
    printf "\n"
}

function sealed(title, label) {
    printf "  %-36s %8.3f   %.3f - %.3f %8.3f %8.2f\n", title, ms(label), lower[label] / 1e6, upper[label] / 1e6, ms(label) - ms("state.null"),
        alone(label)
}

function table(    i, n, names, label) {
    printf "%s, %d CPUs, Linux %s, programs on %s, %s\n\n", model, cpus, kernel, disk, runc
    printf "A runtime that does nothing, config.json of %d bytes, %d rounds, ms\n\n", value["size.env-18K"], count["state.null"]
    printf "  %-36s %8s   %-13s %8s %8s\n", "", "median", "quartiles", "added", "to floor"
    verb("state")
    verb("create")
    printf "\n%s, an empty network namespace for all, %d rounds, ms\n\n", runc, count["bare.start"]
    printf "  %-36s %8s %8s %8s %8s   %6s   %5s\n", "", "create", "start", "delete", "sum", "start", "sum"
    lifecycle("bare", "bare", "bare")
    lifecycle("behind the floor", "floor", "bare")
    lifecycle("behind oci-isolate, passing through", "passing", "bare")
    lifecycle("behind oci-isolate, isolated", "isolated", "bare")
    lifecycle("the same, attempts counted", "isolated-counting", "bare")
    printf "without a seccomp profile of the engine\n"
    lifecycle("bare", "bare-unprofiled", "bare-unprofiled")
    lifecycle("behind oci-isolate, isolated", "isolated-unprofiled", "bare-unprofiled")
    printf "with a veth plumbed between create and start\n"
    lifecycle("bare", "bare-veth", "bare-veth")
    lifecycle("behind oci-isolate, isolated", "isolated-veth", "bare-veth")
    lifecycle("the same, ingress and 1 peer", "open-1-veth", "bare-veth")
    lifecycle("the same, ingress and 10,000 peers", "open-10000-veth", "bare-veth")
    printf "\nThe seal: start in front of a runtime that does nothing, %d rounds, ms\n\n", count["seal"]
    printf "  %-36s %8s   %-13s %8s %8s\n", "", "median", "quartiles", "added", "in F"
    if ("seal-limit" in value) sealed("static C program, the same requests", "seal-limit")
    sealed("30 ms after create", "seal")
    sealed("right after create", "seal-right-after-create")
    sealed("attempts counted", "seal-counting")
    sealed("with a veth", "seal-with-veth")
    sealed("with a veth, ingress and 1 peer", "seal-1-peer")
    if ("seal-limit-1-peer" in value) sealed("  static C program, the same requests", "seal-limit-1-peer")
    sealed("with a veth, ingress and 10,000 peers", "seal-10000-peers")
    if ("seal-limit-10000-peers" in value) sealed("  static C program, the same requests", "seal-limit-10000-peers")
    printf "\nLarge configurations, isolating create, %d rounds\n\n", count["linear.env-1M"]
    printf "  %-36s %10s %10s %8s %12s\n", "", "bytes", "ms", "ns/byte", "peak KiB"
    n = split("env-18K env-1M env-10M env-20M env-100M mounts-1M mounts-10M mounts-100M", names, " ")
    for (i = 1; i <= n; i++) {
        label = "linear." names[i]
        printf "  %-36s %10d %10.2f %8.2f %12d\n", names[i], value["size." names[i]], ms(label), per_byte(names[i]), rss[label]
    }
    printf "\nThe static Rust program that execs has %.3f MB.\n", value["size.empty"] / 1e6
    printf "\nGoals; F is what the floor adds to a call without a wrapper: %.3f ms for state, %.3f ms for create\n\n",
        ms("state.floor") - ms("state.null"), ms("create.floor") - ms("create.null")
    for (i = 1; i <= goals; i++)
        printf "  %-50s %8.3f   at most %6.3f %-6s %s\n", goal_name[i], goal_figure[i], goal_most[i], goal_unit[i],
            met(i) ? "met" : "MISSED"
}

function json(    i, label, comma) {
    printf "{\"machine\":{\"cpu\":\"%s\",\"cpus\":%d,\"kernel\":\"%s\",\"disk\":\"%s\",\"runtime\":\"%s\"},\n\"samples\":{", model, cpus, kernel, disk, runc
    for (i = 1; i <= NR; i++) {
        label = order[i]
        if (label ~ /^size\./) continue
        printf "%s\n\"%s\":{\"count\":%d,\"median_ns\":%d,\"lower_ns\":%d,\"upper_ns\":%d,\"rss_kib\":%d}", comma, label,
            count[label], value[label], lower[label], upper[label], rss[label]
        comma = ","
    }
    printf "},\n\"bytes\":{"
    comma = ""
    for (i = 1; i <= NR; i++) {
        label = order[i]
        if (label !~ /^size\./) continue
        printf "%s\"%s\":%d", comma, substr(label, 6), value[label]
        comma = ","
    }
    printf "},\n\"goals\":["
    for (i = 1; i <= goals; i++)
        printf "%s\n{\"name\":\"%s\",\"figure\":%.4f,\"most\":%.4f,\"unit\":\"%s\",\"met\":%s}", (i > 1 ? "," : ""), goal_name[i],
            goal_figure[i], goal_most[i], goal_unit[i], met(i) ? "true" : "false"
    printf "]}\n"
}

# The samples of hack/bench-network as a table, or as JSON with format=json: medians, and the median of the ratios to
# the bare container in the same round.

/^round$/ { round++; next }
$1 == "lost" { lost[$2] += $3; next }
{ value[$1, $2, round] = $3 }

function ascending(list, count,    i, j, moved) {
    for (i = 2; i <= count; i++) {
        moved = list[i]
        for (j = i - 1; j >= 1 && list[j] > moved; j--) list[j + 1] = list[j]
        list[j + 1] = moved
    }
}

function middle(list, count) {
    ascending(list, count)
    return (list[int((count + 1) / 2)] + list[int((count + 2) / 2)]) / 2
}

function median(measure, name,    i, list) {
    for (i = 1; i <= round; i++) list[i] = value[measure, name, i]
    return middle(list, round)
}

# More is better for all but time.
function ratio_to(base, measure, name,    i, list) {
    for (i = 1; i <= round; i++)
        list[i] = measure == "roundtrip" ? value[measure, base, i] / value[measure, name, i] \
                                         : value[measure, name, i] / value[measure, base, i]
    return middle(list, round)
}

function ratio(measure, name) { return ratio_to("bare", measure, name) }

# The goal of a container: what it is compared with, and the least ratio to that. Many peers cost what one does.
function base(name) { return name ~ /-10000$/ ? substr(name, 1, length(name) - 4) : "bare" }
function least(name) { return name ~ /-10000$/ ? 0.99 : 0.98 }

END {
    count = split(cases, names, " ")
    measures = split("receive send roundtrip requests", measure, " ")
    title["receive"] = "received Gbit/s"; title["send"] = "sent Gbit/s"; title["roundtrip"] = "round trip us"
    title["requests"] = "requests/s"
    if (format == "json") json(); else table()
}

function scaled(m, name) { return m == "roundtrip" ? median(m, name) / 1000 : median(m, name) }

function table(    i, m) {
    printf "%s, %d CPUs, Linux %s, %s\n\nMedians of %d rounds, and to the bare container\n\n  %-16s", model, cpus, kernel, runc, round, ""
    for (m = 1; m <= measures; m++) printf " %17s", title[measure[m]]
    printf " %6s\n", "lost"
    for (i = 1; i <= count; i++) {
        printf "  %-16s", names[i]
        for (m = 1; m <= measures; m++) {
            printf " %10.2f", scaled(measure[m], names[i])
            if (i > 1) printf "  %5.3f", ratio(measure[m], names[i]); else printf "       "
        }
        printf " %6d\n", lost[names[i]]
    }
    printf "\nGoals\n\n"
    for (i = 2; i <= count; i++)
        for (m = 1; m <= measures; m++)
            printf "  %-40s %8.3f   at least %.3f times %-10s %s\n", names[i] ", " title[measure[m]],
                ratio_to(base(names[i]), measure[m], names[i]), least(names[i]), base(names[i]),
                ratio_to(base(names[i]), measure[m], names[i]) >= least(names[i]) ? "met" : "MISSED"
}

function json(    i, m, comma) {
    printf "{\"machine\":{\"cpu\":\"%s\",\"cpus\":%d,\"kernel\":\"%s\",\"runtime\":\"%s\"},\"rounds\":%d,\"figures\":[", model, cpus, kernel, runc, round
    for (i = 1; i <= count; i++)
        for (m = 1; m <= measures; m++) {
            printf "%s\n{\"container\":\"%s\",\"measure\":\"%s\",\"median\":%.4f,\"ratio\":%.4f,\"against\":\"%s\",\"of\":%.4f,\"least\":%.2f,\"met\":%s}", comma,
                names[i], title[measure[m]], scaled(measure[m], names[i]), ratio(measure[m], names[i]),
                base(names[i]), ratio_to(base(names[i]), measure[m], names[i]), least(names[i]),
                ratio_to(base(names[i]), measure[m], names[i]) >= least(names[i]) ? "true" : "false"
            comma = ","
        }
    printf "],\n\"lost\":{"
    for (i = 1; i <= count; i++) printf "%s\"%s\":%d", (i > 1 ? "," : ""), names[i], lost[names[i]]
    printf "}}\n"
}

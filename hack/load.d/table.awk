# The samples of burst as a table, or as JSON with format=json: lines "WHO.PHASE NANOSECONDS", then one for each problem.

FILENAME == "-" { if (length($0)) problem[++problems] = $0; next }
{
    split($1, label, ".")
    if (label[2] == "rows") {
        # The mean of each part; the first and the last of them tell whether what is left behind slows down what follows.
        n = ++parts[label[1]]
        part[label[1], n] = $2 / label[3] / 1e6
    } else {
        n = ++taken[$1]
        sample[$1, n] = $2 / 1e9
        if (label[2] == "down") sample[label[1] ".sum", ++taken[label[1] ".sum"]] = sample[label[1] ".up", n] + $2 / 1e9
    }
}

function sorted_middle(values, n,    i, j, v) {
    for (i = 2; i <= n; i++) {
        v = values[i]
        for (j = i - 1; j >= 1 && values[j] > v; j--) values[j + 1] = values[j]
        values[j + 1] = v
    }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}

function median(label,    i, values) {
    for (i = 1; i <= taken[label]; i++) values[i] = sample[label, i]
    return sorted_middle(values, taken[label])
}

function median_part(who,    i, values) {
    for (i = 1; i <= parts[who]; i++) values[i] = part[who, i]
    return sorted_middle(values, parts[who])
}

END {
    all = split("bare isolated bare-veth isolated-veth", name, " ")
    for (i = 1; i <= all; i++) if (taken[name[i] ".up"]) who[++whos] = name[i]
    if (taken["bare.up"]) ratio["at once, isolated, to bare runc"] = median("isolated.sum") / median("bare.sum")
    if (taken["bare-veth.up"]) ratio["the same with a veth each"] = median("isolated-veth.sum") / median("bare-veth.sum")
    if (format == "json") json(); else table()
}

function table(    i, goals, goal) {
    printf "%s, %d CPUs, Linux %s, %s\n\n", model, cpus, kernel, runc
    printf "%d at once, medians of %d rounds, seconds\n\n", count, taken["isolated.up"]
    printf "  %-14s %14s %24s %8s\n", "", "create and start", "kill, wait and delete", "sum"
    for (i = 1; i <= whos; i++)
        printf "  %-14s %14.2f %24.2f %8.2f\n", who[i], median(who[i] ".up"), median(who[i] ".down"), median(who[i] ".sum")
    if (rows > 0) {
        printf "\n%d in a row: create, start, wait, delete, milliseconds for each\n\n", rows
        printf "  %-14s %6s %12s %12s\n", "", "median", "first part", "last part"
        for (i = 1; i <= whos; i++) if (parts[who[i]])
            printf "  %-14s %6.2f %12.2f %12.2f\n", who[i], median_part(who[i]), part[who[i], 1], part[who[i], parts[who[i]]]
    }
    printf "\nGoals\n\n"
    goals = split("at once, isolated, to bare runc;the same with a veth each", goal, ";")
    for (i = 1; i <= goals; i++) if (goal[i] in ratio)
        printf "  %-50s %8.3f   at most  1.050 times  %s\n", goal[i], ratio[goal[i]], (ratio[goal[i]] <= 1.05 ? "met" : "MISSED")
    printf "  %-50s %8d   none                 %s\n", "calls that failed, or something left", problems, (problems ? "MISSED" : "met")
}

function json(    i, j) {
    printf "{\"machine\":{\"cpu\":\"%s\",\"cpus\":%d,\"kernel\":\"%s\",\"runtime\":\"%s\"},\n", model, cpus, kernel, runc
    printf "\"count\":%d,\"rows\":%d", count, rows
    for (i = 1; i <= whos; i++) {
        printf ",\n\"%s\":{\"up_s\":[", who[i]
        for (j = 1; j <= taken[who[i] ".up"]; j++) printf "%s%.4f", (j > 1 ? "," : ""), sample[who[i] ".up", j]
        printf "],\"down_s\":["
        for (j = 1; j <= taken[who[i] ".down"]; j++) printf "%s%.4f", (j > 1 ? "," : ""), sample[who[i] ".down", j]
        printf "],\"in_a_row_ms\":["
        for (j = 1; j <= parts[who[i]]; j++) printf "%s%.3f", (j > 1 ? "," : ""), part[who[i], j]
        printf "]}"
    }
    if (taken["bare.up"]) printf ",\n\"ratio\":%.4f,\"most\":1.05", ratio["at once, isolated, to bare runc"]
    if (taken["bare-veth.up"]) printf ",\n\"ratio_veth\":%.4f", ratio["the same with a veth each"]
    printf ",\n\"problems\":["
    for (i = 1; i <= problems; i++) {
        gsub(/["\\]/, "\\\\&", problem[i])
        printf "%s\n\"%s\"", (i > 1 ? "," : ""), problem[i]
    }
    printf "]}\n"
}

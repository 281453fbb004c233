# Samples "SERIES.COUNT.STEP ROUNDS MEDIAN ..." as a table: milliseconds by count. A step that takes more than half as much again as
# in proportion to what it grows with, from one count to the next, is named.

{
    split($1, part, ".")
    series = part[1]; count = part[2]; step = part[3]
    if (!((series, step) in seen)) { seen[series, step] = 1; rows[++last] = series SUBSEP step }
    value[series, step, count] = $3 / 1e6
    if (count + 0 > most) most = count + 0
}

END {
    name["peers"] = "peers"; name["records"] = "containers on the host"; name["members"] = "members of a job"
    printf "%s, %d CPUs, Linux %s, %s\n\nms, medians\n\n  %-36s", model, cpus, kernel, runc, ""
    for (count = 1; count <= most; count *= 10) printf " %9d", count
    printf "\n"
    for (i = 1; i <= last; i++) {
        split(rows[i], part, SUBSEP)
        printf "  %-36s", name[part[1]] ": " part[2]
        for (count = 1; count <= most; count *= 10)
            if ((part[1], part[2], count) in value) printf " %9.3f", value[part[1], part[2], count]
        printf "\n"
    }
    printf "\nGoals\n\n"
    for (i = 1; i <= last; i++) {
        split(rows[i], part, SUBSEP)
        worst = 0
        for (count = 10; count <= most; count *= 10)
            if ((part[1], part[2], count) in value) {
                grows = value[part[1], part[2], count] / value[part[1], part[2], count / 10]
                if (grows > worst) worst = grows
            }
        goal(name[part[1]] ": " part[2] ", each ten times", worst, 15)
    }
    if (("records", "start", 1000) in value)
        goal("start without a job, beside 1,000 to beside 1", value["records", "start", 1000] / value["records", "start", 1], 1.1)
}

function goal(what, figure, limit) {
    printf "  %-50s %8.3f   at most %6.3f times  %s\n", what, figure, limit, figure <= limit ? "met" : "MISSED"
}

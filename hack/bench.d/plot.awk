# The samples of lap as a picture (SVG), by `plot`: "call", "lifecycle" or "large". Lines that begin with # say of what run
# they are; the first is under the picture. The background is the picture's own, for white pages and black ones.

/^#/ { if (run == "") run = substr($0, 3); next }
{ median[$1] = $3 / 1e6; lower[$1] = $4 / 1e6; upper[$1] = $5 / 1e6; bytes[$1] = $3 }

BEGIN { width = 760; left = 262; right = 90; top = 54; row = 30 }

END {
    if (plot == "call") call()
    else if (plot == "lifecycle") lifecycle()
    else if (plot == "large") large()
    else exit 2
}

function escaped(said) { gsub(/&/, "\\&amp;", said); gsub(/</, "\\&lt;", said); return said }

function head(title, height) {
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n", width, height, width, height
    print "<style>text { font: 13px 'DejaVu Sans', 'Liberation Sans', Helvetica, Arial, sans-serif; fill: #24292f } .title { font-weight: bold } .run { font-size: 11px; fill: #57606a }</style>"
    printf "<rect x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"#ffffff\" stroke=\"#d0d7de\"/>\n", width - 1, height - 1
    words(16, 26, "start", title, "title")
    words(16, height - 12, "start", run, "run")
}

function words(x, y, anchor, said, class) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y, anchor, class == "" ? "" : " class=\"" class "\"", escaped(said)
}

function bar(x, y, w, colour) {
    printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"18\" fill=\"%s\"/>\n", x, y, w, colour
}

function line(x1, y1, x2, y2, colour) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour
}

# Pairs "label|title".
function split_rows(text,    i, n, parts, pair) {
    n = split(text, parts, ";")
    for (i = 1; i <= n; i++) { split(parts[i], pair, "|"); label[i] = pair[1]; title[i] = pair[2] }
    return n
}

# One bar each, with its quartiles.
function call(    n, i, y, scale, most) {
    n = split_rows("create.null|no wrapper;create.floor|static C program that execs;create.empty|static Rust program that execs;" \
        "create.sh|/bin/sh that execs;create.shim|oci-isolate, passing through;isolating|oci-isolate, isolating")
    for (i = 1; i <= n; i++) if (upper[label[i]] > most) most = upper[label[i]]
    scale = (width - left - right) / most
    head("create in front of a runtime that does nothing: ms, median and quartiles", top + n * row + 36)
    for (i = 1; i <= n; i++) {
        y = top + (i - 1) * row
        words(left - 10, y + 14, "end", title[i])
        bar(left, y, median[label[i]] * scale, i == n ? "#1a7f37" : i == n - 1 ? "#0969da" : "#8c959f")
        line(left + lower[label[i]] * scale, y + 9, left + upper[label[i]] * scale, y + 9, "#24292f")
        words(left + upper[label[i]] * scale + 8, y + 14, "start", sprintf("%.3f", median[label[i]]))
    }
    print "</svg>"
}

# The three calls one behind the other.
function lifecycle(    n, i, j, x, y, sum, most, scale, verb, colour) {
    n = split_rows("bare|runc;passing|oci-isolate, passing through;isolated|oci-isolate, isolated;bare-veth|runc, with a veth;" \
        "isolated-veth|oci-isolate, isolated;open-1-veth|ingress and 1 peer;open-10000-veth|ingress and 10,000 peers")
    split("create start delete", verb, " "); split("#8c959f #1a7f37 #d4a72c", colour, " ")
    for (i = 1; i <= n; i++) {
        sum = 0
        for (j = 1; j <= 3; j++) sum += median[label[i] "." verb[j]]
        if (sum > most) most = sum
    }
    scale = (width - left - right) / most
    head("create, start and delete of a container with runc: ms, medians", top + n * row + 66)
    for (i = 1; i <= n; i++) {
        # A gap before those with a veth.
        y = top + (i - 1) * row + (i > 3 ? 10 : 0); x = left; sum = 0
        words(left - 10, y + 14, "end", title[i])
        for (j = 1; j <= 3; j++) {
            bar(x, y, median[label[i] "." verb[j]] * scale, colour[j])
            x += median[label[i] "." verb[j]] * scale; sum += median[label[i] "." verb[j]]
        }
        words(x + 8, y + 14, "start", sprintf("%.1f", sum))
    }
    y = top + n * row + 16
    for (j = 1; j <= 3; j++) { bar(left + (j - 1) * 90, y, 18, colour[j]); words(left + (j - 1) * 90 + 24, y + 14, "start", verb[j]) }
    print "</svg>"
}

function log10(x) { return log(x) / log(10) }
function across(mb) { return 80 + (log10(mb) + 2) / 4 * (width - 220) }
function up(ms) { return top + 240 - log10(ms) / 4 * 240 }

# Both axes by powers of ten: what grows with the size is a straight line.
function large(    i, j, n, m, kind, names, colour, x, y, before_x, before_y, mb) {
    head("isolating create of a large config.json: ms by size", top + 240 + 76)
    for (i = -2; i <= 2; i++) {
        mb = 10 ^ i
        line(across(mb), up(1), across(mb), up(10000), "#d0d7de"); words(across(mb), up(1) + 18, "middle", mb " MB")
    }
    for (i = 0; i <= 4; i++) { line(across(0.01), up(10 ^ i), across(100), up(10 ^ i), "#d0d7de"); words(across(0.01) - 8, up(10 ^ i) + 4, "end", 10 ^ i " ms") }
    n = split("env-18K env-1M env-10M env-20M env-100M;mounts-1M mounts-10M mounts-100M", kind, ";"); split("#0969da #1a7f37", colour, " ")
    for (j = 1; j <= n; j++) {
        m = split(kind[j], names, " ")
        for (i = 1; i <= m; i++) {
            x = across(bytes["size." names[i]] / 1e6); y = up(median["linear." names[i]])
            if (i > 1) line(before_x, before_y, x, y, colour[j])
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x, y, colour[j]
            before_x = x; before_y = y
        }
        words(x + 8, y + 4, "start", j == 1 ? "variables" : "mounts")
    }
    print "</svg>"
}

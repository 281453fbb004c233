# What a program printed on a terminal, as a picture of one: bold, green, yellow and red (SGR 0, 1, 31, 32, 33) are kept.
# The background is the picture's own, so that it can be read on a white page and on a black one.

BEGIN { width = 8.4; height = 19; margin = 20; bar = 30 }

{
    line[NR] = $0
    gsub(/\033\[[0-9;]*m/, "")
    if (length($0) > columns) columns = length($0)
}

function escaped(text) {
    gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
    return text
}

# Each stretch of one colour has its own place, whatever the width of the font that is there.
function spans(text,    out, column, class, piece, code) {
    while (match(text, /\033\[[0-9;]*m/)) {
        piece = substr(text, 1, RSTART - 1)
        code = substr(text, RSTART + 2, RLENGTH - 3)
        text = substr(text, RSTART + RLENGTH)
        out = out span(piece, column, class)
        column += length(piece)
        class = code ~ /31/ ? "red" : code ~ /32/ ? "green" : code ~ /33/ ? "yellow" : code ~ /1/ ? "bold" : ""
    }
    return out span(text, column, class)
}

# Columns of a table too: spaces are not all as wide as letters.
function span(text, column, class,    out, piece) {
    while (match(text, /[^ ]+( [^ ]+)*/)) {
        piece = substr(text, RSTART, RLENGTH)
        out = out sprintf("<tspan x=\"%.1f\" textLength=\"%.1f\"%s>%s</tspan>", margin + (column + RSTART - 1) * width,
            length(piece) * width, class == "" ? "" : " class=\"" class "\"", escaped(piece))
        text = substr(text, RSTART + RLENGTH)
        column += RSTART - 1 + RLENGTH
    }
    return out
}

END {
    w = columns * width + 2 * margin
    h = bar + NR * height + margin
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n", w, h, w, h
    print "<style>"
    print "text { font: 14px ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace; fill: #24292f; white-space: pre }"
    print ".bold { font-weight: bold } .green { fill: #116329 } .yellow { fill: #8a4600 } .red { fill: #a40e26; font-weight: bold }"
    print "</style>"
    printf "<rect x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#f6f8fa\" stroke=\"#8c959f\"/>\n", w - 1, h - 1
    for (i = 0; i < 3; i++) printf "<circle cx=\"%d\" cy=\"16\" r=\"5\" fill=\"#afb8c1\"/>\n", margin + 16 * i
    for (i = 1; i <= NR; i++) {
        text = spans(line[i])
        if (text != "") printf "<text y=\"%d\">%s</text>\n", bar + i * height, text
    }
    print "</svg>"
}

# The output of cargo test: the ten slowest tests, the time of each test binary, and the totals as the last line.

# "Running unittests src/lib.rs (target/debug/deps/oci_isolate-0123456789abcdef)"
/^ +Running / { binary = $NF; sub(/.*\//, "", binary); sub(/-[0-9a-f]+\)$/, "", binary) }
/^ +Doc-tests / { binary = "documentation" }
/^test .* <[0-9.]+s>$/ {
    seconds = $NF; gsub(/[<>s]/, "", seconds)
    name = $2
    # Kept in order, ten at most.
    for (i = kept < 10 ? ++kept : 11; i > 1 && slowest[i - 1] < seconds + 0; i--) {
        if (i <= 10) { slowest[i] = slowest[i - 1]; which[i] = which[i - 1] }
    }
    if (i <= 10) { slowest[i] = seconds + 0; which[i] = binary ": " name }
}
/^test result:/ {
    passed += $4; failed += $6; skipped += $8
    seconds = $NF; sub(/s$/, "", seconds)
    if ($4 + $6 > 0) binaries[++count] = sprintf("%8.1f  %s, %d tests", seconds, binary, $4 + $6)
}

END {
    print "the ten slowest tests, seconds"
    for (i = 1; i <= kept; i++) printf "%8.1f  %s\n", slowest[i], which[i]
    print "the test binaries, seconds"
    for (i = 1; i <= count; i++) print binaries[i]
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    # A filter that matches nothing shows nothing.
    exit passed + failed == 0
}

# shellcheck shell=bash
# What a release says of its files: what they were made of (SLSA provenance), which vulnerabilities of others do not affect them
# (OpenVEX), their checksums, and the signature of these. hack/release sources this, and so does tests/release.rs.
#
# The project has no public address: https://oci-isolate.invalid/ stands for the top of the repository (RFC 6761), as in
# SECURITY-INSIGHTS.yml.

top=https://oci-isolate.invalid

# Fields are those of in-toto Statement v1 (https://in-toto.io/Statement/v1) and https://slsa.dev/provenance/v1. Every file that
# is in the directory so far is a subject.
provenance() { # DIRECTORY VERSION COMMIT BUILDER STARTED FINISHED MATERIALS: lines "sha256:HEX NAME" or "version:TEXT NAME"
    (cd "$1" && sha256sum -- *) | jq --raw-input --null-input --arg top "$top" --arg version "$2" --arg commit "$3" --arg builder "$4" \
        --arg started "$5" --arg finished "$6" --arg materials "$7" '{
        _type: "https://in-toto.io/Statement/v1",
        subject: [inputs | { name: .[66:], digest: { sha256: .[:64] } }],
        predicateType: "https://slsa.dev/provenance/v1",
        predicate: {
            buildDefinition: {
                buildType: "\($top)/hack/release",
                externalParameters: { version: $version, commit: $commit },
                resolvedDependencies: ([{ uri: "git+\($top)/", digest: { gitCommit: $commit } }] +
                    [$materials | split("\n")[] | select(. != "") | capture("^(?<kind>[^:]+):(?<value>[^ ]+) (?<name>.*)$") |
                        if .kind == "sha256" then { name, digest: { sha256: .value } }
                        else { name, annotations: { version: .value } } end])
            },
            runDetails: {
                builder: { id: $builder },
                metadata: { startedOn: $started, finishedOn: $finished }
            }
        }
    }'
}

# The tables of docs/cve.md in the words of OpenVEX 0.2.0 (https://openvex.dev/ns/v0.2.0). None of those flaws is in this package,
# which is what a scanner asks; what becomes of them in an isolated container is the impact.
vex() { # VERSION TIME PAGE
    sed -n 's/^| \[\(CVE-[0-9-]*\)\]([^)]*) | \(.*\)$/\1 | \2/p' "$3" | jq --raw-input --null-input --arg top "$top" --arg version "$1" --arg time "$2" '{
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "\($top)/vex/\($version)",
        author: "oci-isolate maintainers",
        timestamp: $time,
        version: 1,
        statements: [inputs | split(" | ") | {
            vulnerability: { name: .[0] },
            products: [{ "@id": "pkg:cargo/oci-isolate@\($version)" }],
            status: "not_affected",
            justification: "component_not_present",
            impact_statement: "\(.[1]). The flaw is not in this package. In a container that it isolates: \(.[2] | gsub("\\*\\*"; ""))"
        }]
    }'
}

# Checksums of all files, and with a key (ed25519, PEM) their signature.
seal_release() { # DIRECTORY [KEY]
    (cd "$1" && rm -f SHA256SUMS SHA256SUMS.sig && sha256sum -- * >../SHA256SUMS.$$ && mv ../SHA256SUMS.$$ SHA256SUMS)
    [ -z "${2:-}" ] || openssl pkeyutl -sign -rawin -inkey "$2" -in "$1/SHA256SUMS" -out "$1/SHA256SUMS.sig"
}

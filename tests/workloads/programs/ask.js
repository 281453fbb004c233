// The same for the AWS SDK for JavaScript v3, which has no names for the ways: "found", or the error's name and the
// first words of what it says.
const { STSClient } = require("/opt/node/node_modules/@aws-sdk/client-sts");

const ways = process.argv.slice(2).map((way) => way.split("="));
const all = { ...process.env };
const planted = new Set(ways.flatMap(([, variables]) => variables.split(",")));
ways.push(["together", [...planted].join(",")]);

async function main() {
  for (const [name, variables] of ways) {
    for (const variable of planted) {
      if (all[variable] !== undefined && variables.split(",").includes(variable)) process.env[variable] = all[variable];
      else delete process.env[variable];
    }
    const begun = performance.now();
    let answer = "found";
    try {
      const client = new STSClient({});
      await client.config.region();
      await client.config.credentials();
    } catch (error) {
      answer = `${error.name}:${error.message.slice(0, 45)}`.replaceAll(" ", "_");
    }
    console.log(name, answer, ((performance.now() - begun) / 1000).toFixed(3));
  }
  process.exit();
}
main();

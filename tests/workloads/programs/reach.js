// What node is told of a destination: of an address by a socket, of a name by c-ares and by the system's resolver.
const told = (error) => console.log(error ? error.code : "reached");
const [, , to] = process.argv;
if (to === "c-ares") require("dns").resolve4("host.example", told);
else if (to === "name") require("dns").lookup("host.example", told);
else require("net").connect(443, to).on("error", told).on("connect", () => told());

// The floor in Go: what its runtime brings along before main, and the exec.
package main

import (
	"os"
	"syscall"
)

var runtime string // by -X of the linker

func main() {
	if err := syscall.Exec(runtime, os.Args, os.Environ()); err != nil {
		panic(err)
	}
}

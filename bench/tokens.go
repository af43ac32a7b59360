//go:build ignore

// This program counts for tokens.py: it reads lines of an encoding and a file and
// answers with the tokens and the seconds of this thread's CPU that counting took.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"weir/tokens"
)

func main() {
	runtime.LockOSThread()
	encodings := new(tokens.Encodings)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		encoding, file, _ := strings.Cut(lines.Text(), " ")
		text, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		counter := encodings.Counter(tokens.Model{Encoding: encoding})
		encodings.Warm(encoding)
		start := cpu()
		n := counter.Text(text)
		fmt.Println(n, (cpu() - start).Seconds())
	}
}

// cpu returns the CPU time of this thread.
func cpu() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

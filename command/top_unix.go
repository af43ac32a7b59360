//go:build unix

package command

import (
	"os"

	"golang.org/x/sys/unix"
)

// windowSize returns how many columns and lines a terminal has.
func windowSize(f *os.File) (width, height int, ok bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

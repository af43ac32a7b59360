//go:build unix

package usage

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock makes this process the only one that writes the ledger at path, until the
// file is closed or the process ends in any way.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // The operator names it.
	if err != nil {
		return nil, fmt.Errorf("usage: locking the ledger: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("usage: another process writes the ledger %s: one file is for one gateway, several share a PostgreSQL", path)
		}
		return nil, fmt.Errorf("usage: locking the ledger: %w", err)
	}
	return f, nil
}

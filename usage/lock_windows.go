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
	const sharingViolation syscall.Errno = 32
	name, err := syscall.UTF16PtrFromString(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("usage: locking the ledger: %w", err)
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolation) {
		return nil, fmt.Errorf("usage: another process writes the ledger %s: one file is for one gateway, several share a PostgreSQL", path)
	}
	if err != nil {
		return nil, fmt.Errorf("usage: locking the ledger: %w", err)
	}
	return os.NewFile(uintptr(h), path+".lock"), nil
}

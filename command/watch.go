package command

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a file must be left alone before it is read.
const settle = 200 * time.Millisecond

// watch calls changed whenever the content of the file at path is another one,
// until ctx is done. It watches the directory: editors and Kubernetes put another
// file in the place of the old one.
func watch(ctx context.Context, path string, log *slog.Logger, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := w.Add(filepath.Dir(path)); err != nil {
		_ = w.Close() // it watches nothing
		return err
	}
	last := digest(path)
	go func() {
		defer func() { _ = w.Close() }() // nobody watches any more
		due := time.NewTimer(settle)
		due.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok := <-w.Events:
				if !ok {
					return
				}
				due.Reset(settle)
			case err, ok := <-w.Errors:
				if !ok {
					return
				}
				log.Warn("watching the configuration failed: send SIGHUP after changing it", "reason", err)
			case <-due.C:
				if now := digest(path); now != last {
					last = now
					changed()
				}
			}
		}
	}()
	return nil
}

// digest returns what tells one content of a file from another; the zero value
// where it cannot be read.
func digest(path string) [sha256.Size]byte {
	data, err := os.ReadFile(path) //nolint:gosec // it is the configuration's own
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(data)
}

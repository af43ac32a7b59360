package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How often the files of the configuration are looked at.
const (
	settle = 200 * time.Millisecond // between two looks that must find the same
	patrol = 10 * time.Second       // where the system tells of no change
)

// sources are the files that a configuration was made of, by path, and what they
// held: the zero value where one could not be read.
type sources map[string][sha256.Size]byte

// read reads a file and notes what it holds.
func (s sources) read(path string) ([]byte, error) {
	data, err := os.ReadFile(path) //nolint:gosec // it is the configuration's own
	s[path] = [sha256.Size]byte{}
	if err == nil {
		s[path] = sha256.Sum256(data)
	}
	return data, err
}

// again returns what the same files hold now.
func (s sources) again() sources {
	now := sources{}
	for path := range s {
		_, _ = now.read(path) // that it cannot be read is noted
	}
	return now
}

// hash names the content of one of them; "" where it could not be read.
func (s sources) hash(path string) string {
	sum := s[path]
	if sum == [sha256.Size]byte{} {
		return ""
	}
	return hex.EncodeToString(sum[:4])
}

// watch calls changed whenever the files of the configuration hold something else
// than they did when it was last read, and have been left alone for a moment. It
// returns when ctx is done.
//
// It watches folders, because editors and Kubernetes put another file in the place
// of the old one; that of a link and that of what it leads to. Where a system tells
// of nothing, as over some mounts, it looks all the same, though seldom.
func watch(ctx context.Context, log *slog.Logger, known func() sources, changed func()) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("the system does not tell when the configuration changes", "reason", err.Error(), "looked_at_every", patrol.String())
	} else {
		defer func() { _ = w.Close() }() // nobody watches any more
		events, errs = w.Events, w.Errors
	}
	due := time.NewTimer(0) // what has changed before this began is seen, too
	defer due.Stop()
	next := patrol
	var seen sources
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			// A folder in which something happens all the time must not put off the look.
			if next == patrol {
				next = settle
				due.Reset(next)
			}
			continue
		case <-errs: //nolint:errcheck // events were lost: all is looked at
		case <-due.C:
		}
		before := known()
		now := before.again()
		switch {
		case maps.Equal(now, before):
			seen, next = nil, patrol
		case maps.Equal(now, seen):
			changed()
			seen, next = nil, patrol
		default:
			seen, next = now, settle
		}
		if w != nil {
			follow(w, known())
		}
		due.Reset(next)
	}
}

// follow lets w tell of what happens to files. A folder that is not there is found
// at a later look.
func follow(w *fsnotify.Watcher, files sources) {
	for path := range files {
		_ = w.Add(filepath.Dir(path))
		if target, err := filepath.EvalSymlinks(path); err == nil {
			_ = w.Add(filepath.Dir(target))
		}
	}
}

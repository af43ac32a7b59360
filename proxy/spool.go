package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"weir/openai"
)

// heldUpload is how much of an upload is held in memory; the rest is in a file.
const heldUpload = 512 << 10

// Uploads says how files are taken that clients send.
type Uploads struct {
	Dir  string        // where what is not held in memory is kept for as long as its request takes; "" the system's own
	Max  int64         // the largest, in bytes
	Disk int64         // the most bytes that are kept in files at once; 0 any
	Used *atomic.Int64 // how many are, with those of other Gateways; nil: of this one alone
}

// spool is what a client has sent: in memory as far as that goes, and then in a
// file that has no name, so that it is gone with its process. It is written once,
// then read any number of times; it must be closed.
type spool struct {
	up   *Uploads
	head bytes.Buffer
	file *os.File // nil: head is all
	size int64
}

// Write adds to the spool. An error is an *openai.Error.
func (s *spool) Write(b []byte) (int, error) {
	n := min(len(b), heldUpload-s.head.Len())
	s.head.Write(b[:n])
	s.size += int64(n)
	if n == len(b) {
		return n, nil
	}
	if err := s.open(); err != nil {
		return n, err
	}
	rest := int64(len(b) - n)
	if used := s.up.Used.Add(rest); s.up.Disk > 0 && used > s.up.Disk {
		s.up.Used.Add(-rest)
		return n, &openai.Error{
			Status: http.StatusServiceUnavailable, Code: openai.CodeOverloaded, RetryAfter: time.Second,
			Message: "The gateway holds as many uploads as it may. Send the request again.",
		}
	}
	s.size += rest
	if _, err := s.file.Write(b[n:]); err != nil {
		return n, noRoom(err)
	}
	return len(b), nil
}

func (s *spool) open() error {
	if s.file != nil {
		return nil
	}
	f, err := os.CreateTemp(s.up.Dir, "weir-upload-")
	if err != nil {
		return noRoom(err)
	}
	s.file = f
	_ = os.Remove(f.Name()) // where an open file cannot be removed, Close does
	return nil
}

// noRoom returns the error that an upload cannot be kept. What the system says of
// it names paths, and is for the log alone.
func noRoom(err error) error {
	return &openai.Error{
		Status: http.StatusInsufficientStorage, Code: openai.CodeNoRoom, NoRetry: true, Fault: fmt.Errorf("proxy: keeping an upload: %w", err),
		Message: "The gateway has no room to keep the upload for as long as it takes. Have server.upload_dir name a directory that it can write to, with room.",
	}
}

// section returns the bytes from one offset to another, anew for each reader.
func (s *spool) section(from, to int64) *io.SectionReader {
	return io.NewSectionReader(kept{s.head.Bytes(), s.file}, from, to-from)
}

// kept is what is in a spool. Whoever still reads it when the spool is closed is
// told by an error.
type kept struct {
	head []byte
	file *os.File
}

// ReadAt reads from an offset on.
func (k kept) ReadAt(b []byte, from int64) (int, error) {
	n := 0
	if held := int64(len(k.head)); from < held {
		n = copy(b, k.head[from:])
		from = 0
	} else {
		from -= held
	}
	if n == len(b) {
		return n, nil
	}
	if k.file == nil {
		return n, io.EOF
	}
	more, err := k.file.ReadAt(b[n:], from)
	return n + more, err
}

// Close lets go of what is kept. Nothing may be read any more.
func (s *spool) Close() error {
	if s.file == nil {
		return nil
	}
	s.up.Used.Add(int64(s.head.Len()) - s.size)
	name := s.file.Name()
	err := s.file.Close()
	_ = os.Remove(name) // as a rule it has no name any more
	s.file = nil
	if err != nil {
		return fmt.Errorf("proxy: closing an upload: %w", err)
	}
	return nil
}

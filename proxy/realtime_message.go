package proxy

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// message is what a side has read last. What it takes beyond what a side keeps
// anyhow is counted among the bodies that are held.
type message struct {
	all   *atomic.Int64
	most  int64 // of all; 0 any
	taken int64 // of that
	data  []byte
}

// errCrowded says that there is no room for a message.
var errCrowded = errors.New("proxy: as much is held as may be")

// clear lets go of the message.
func (m *message) clear() {
	if m.data = m.data[:0]; cap(m.data) > keptBuffer {
		m.data = nil
	}
	m.all.Add(-m.taken)
	m.taken = 0
}

// grow makes room for more of the message. One alone may take as much as it needs.
func (m *message) grow() error {
	const first = 4 << 10
	size := max(first, 2*cap(m.data))
	if size > keptBuffer {
		more := int64(size) - m.taken
		if n := m.all.Add(more); m.most > 0 && n > m.most && n > int64(size) {
			m.all.Add(-more)
			return errCrowded
		}
		m.taken += more
	}
	m.data = append(make([]byte, 0, size), m.data...)
	return nil
}

// read reads the message to its end, and says to note how much has come.
func (m *message) read(r io.Reader, note func(size int)) error {
	for {
		if len(m.data) == cap(m.data) {
			if err := m.grow(); err != nil {
				return err
			}
		}
		n, err := r.Read(m.data[len(m.data):cap(m.data)])
		m.data = m.data[:len(m.data)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		note(len(m.data))
	}
}

// watch returns what is to be told how much of a message has come, and ends its
// reading where it comes no faster than a body may.
func watch(cancel context.CancelFunc) (note func(size int), stop func() bool) {
	start := time.Now()
	timer := time.AfterFunc(bodyIdle, cancel)
	return func(size int) {
		last := start.Add(bodyStart + bodyIdle + time.Duration(size)*time.Second/bodyRate)
		timer.Reset(min(bodyIdle, time.Until(last)))
	}, timer.Stop
}

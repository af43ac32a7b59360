package azuresim

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// wireError is why an answer ends early.
type wireError string

func (e wireError) Error() string { return "azuresim: " + string(e) }

const (
	errCut  = wireError("the answer is cut here")
	errGone = wireError("the client is gone")
)

// wire writes an answer's body: flushes every write, waits between them, splits
// and compresses them, and stops at a cut.
type wire struct {
	c     *call
	flush func() error
	gzip  *gzip.Writer // nil for an answer as it is
	split int
	left  int // bytes until the cut, below 0 for none
	begun bool
}

func (c *call) open() *wire {
	o := &wire{c: c, flush: http.NewResponseController(c.w).Flush, split: c.step.Split, left: -1}
	if c.step.CutBytes > 0 {
		o.left = c.step.CutBytes
	}
	if c.step.Gzip {
		o.gzip = gzip.NewWriter(c.w)
	}
	return o
}

// send writes text and hands it to the network.
func (o *wire) send(text string) error {
	for {
		if !o.c.wait(o.pause()) {
			return errGone
		}
		piece := text
		if o.split > 0 && len(piece) > o.split {
			piece = piece[:o.split]
		}
		cut := o.left >= 0 && len(piece) >= o.left
		if cut {
			piece = piece[:o.left]
		}
		if err := o.write(piece); err != nil {
			return err
		}
		if cut {
			return errCut
		}
		if o.left > 0 {
			o.left -= len(piece)
		}
		if text = text[len(piece):]; text == "" {
			return nil
		}
	}
}

// pause is the wait before the next write: none before the first.
func (o *wire) pause() time.Duration {
	if !o.begun {
		o.begun = true
		return 0
	}
	return o.c.gap()
}

func (o *wire) write(piece string) error {
	var w io.Writer = o.c.w
	if o.gzip != nil {
		w = o.gzip
	}
	if _, err := io.WriteString(w, piece); err != nil {
		return err
	}
	if o.gzip != nil {
		if err := o.gzip.Flush(); err != nil {
			return err
		}
	}
	if err := o.flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// close writes what compression still holds.
func (o *wire) close() error {
	if o.gzip == nil {
		return nil
	}
	return o.gzip.Close()
}

// hangUp closes the connection as a crash would: by a reset where it is TCP.
// Where it cannot be taken over, the server aborts it.
func (c *call) hangUp() {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if under, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = under.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok && c.step.Reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func compress(text string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // A level of the package's own is never wrong.
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

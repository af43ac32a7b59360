package main_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestRealtimeFlood holds that a client cannot have any number of responses asked for
// at once, each of which takes memory here until it begins.
func TestRealtimeFlood(t *testing.T) {
	t.Parallel()
	const most = 64
	before(t, func(f *far) {
		for n := 0; ; {
			switch heard := f.hear(); {
			case strings.Contains(heard, `"begin"`):
				id := "resp_" + strconv.Itoa(n)
				f.say(`{"type":"response.created","response":{"id":"`+id+`"}}`, responded(id, 10, 5))
				n++
			case !strings.Contains(heard, `"response.create"`):
				return
			}
		}
	}, func(w *world) {
		s, err := w.dial(realtimePath)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range most + 1 {
			s.say(`{"type":"response.create","event_id":"e` + strconv.Itoa(i) + `"}`)
		}
		if e := s.next(); e.Error.Code != "rate_limit_exceeded" || e.Error.Type != "requests" || e.Error.EventID != "e64" {
			w.t.Errorf("told %s", e.raw)
		}
		s.say(`{"type":"begin"}`)
		if list, err := s.until("response.done"); err != nil || len(list) != 2 {
			w.t.Errorf("heard %v, %v", list, err)
		}
		s.say(`{"type":"response.create"}`, `{"type":"begin"}`)
		if list, err := s.until("response.done"); err != nil || len(list) != 2 {
			w.t.Errorf("once there is room: heard %v, %v", list, err)
		}
		s.leave()
		if rec := w.record(); rec.Output < 10 {
			w.t.Errorf("recorded %+v", rec)
		}
	})
}

// TestRealtimeSlowMessage holds that a message that hardly comes ends the session,
// as a body would its request, however alive the client is.
func TestRealtimeSlowMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		every time.Duration // another piece comes
		ends  bool
	}{
		{"as it should", time.Second, false},
		{"not at all", 11 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before(t, echo, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				heard := make(chan error, 1)
				go func() { // which answers pings
					_, _, err := s.conn.Read(s.ctx)
					heard <- err
				}()
				m, err := s.conn.Writer(s.ctx, websocket.MessageText)
				if err != nil {
					w.t.Fatal(err)
				}
				_, err = m.Write([]byte(`{"type":"x","audio":"`))
				for i := 0; i < 20 && err == nil; i++ {
					_, err = m.Write(bytes.Repeat([]byte("A"), 16<<10))
					time.Sleep(tt.every)
				}
				if err == nil {
					_, err = m.Write([]byte(`"}`))
				}
				if err == nil {
					err = m.Close()
				}
				if tt.ends != (err != nil) || tt.ends != (<-heard != nil) {
					w.t.Errorf("saying it ended in %v", err)
				}
				_ = s.conn.CloseNow()
				if rec := w.record(); tt.ends && rec.Duration > time.Minute {
					w.t.Errorf("recorded %+v", rec)
				}
			})
		})
	}
}

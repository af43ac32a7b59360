package main_test

import (
	"strconv"
	"strings"
	"testing"
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

package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

const (
	backlog   = 256                    // requests that wait for a slow reader; of more the oldest are left out
	pause     = 100 * time.Millisecond // between two batches of requests
	heartbeat = 10 * time.Second       // of a stream in which nothing happens
	slowest   = 10 * time.Second       // that a reader may take for one write
)

// stream sends what happens as server-sent events, until the client goes or may be
// told no more: stats each second, series where a step is over, request as each ends,
// and lost with how many were left out because the reader was slow. A filter is for
// requests alone. It resumes nothing: whoever comes back asks for what there is.
func (d *Dashboard) stream(w http.ResponseWriter, r *http.Request) *Problem {
	f, p := d.filterOf(r, "events")
	if p != nil {
		return p
	}
	if d.streams.Add(1) > maxStreams {
		d.streams.Add(-1)
		return &Problem{http.StatusTooManyRequests, "", "As many pages listen already as may. Close one."}
	}
	defer d.streams.Add(-1)
	s := &events{Dashboard: d, request: r, filter: f, out: w, control: http.NewResponseController(w)}
	if only := r.URL.Query().Get("events"); only != "" && only != "stats" && only != "request" {
		return &Problem{http.StatusBadRequest, "events", "events is stats or request. Leave it out for both."}
	} else if only != "" {
		s.only = only
	}
	_ = s.control.SetReadDeadline(time.Time{}) // that of the request's head; where it cannot be set there is none
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	s.run()
	return nil
}

// events is one stream.
type events struct {
	*Dashboard
	request *http.Request // that asked for it
	filter  filter
	only    string // the events that are sent; "" all
	out     http.ResponseWriter
	control *http.ResponseController

	last int64 // the request that was told last
	step int64 // the step whose series was told
	beat time.Time
}

func (s *events) run() {
	ctx := s.request.Context()
	news := make(chan struct{}, 1)
	s.mu.Lock()
	s.last = max(0, s.ring.next-1)
	if s.only != "stats" {
		s.waiting[news] = struct{}{}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, news)
		s.mu.Unlock()
	}()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for ok := s.tick(ctx); ok; {
		select {
		case <-ctx.Done():
			return
		case <-s.closed:
			return
		case <-second.C:
			ok = s.tick(ctx)
			continue
		case <-news:
		}
		if ok = s.requests(); !ok {
			return
		}
		rest.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-s.closed:
			return
		case <-rest.C:
		}
	}
}

// tick tells what each second is told. It reports whether the reader is there still,
// and may be.
func (s *events) tick(ctx context.Context) bool {
	now := time.Now()
	if s.cfg.Admits != nil && !s.cfg.Admits(s.request) {
		return false
	}
	if s.only == "request" {
		if now.Sub(s.beat) < heartbeat {
			return true
		}
		return s.send(now, []byte(": nothing has happened\n\n"))
	}
	_, stats := s.stats(ctx, now)
	out := event(nil, "stats", stats)
	if at := now.Unix() / int64(step/time.Second); at != s.step {
		s.step = at
		out = event(out, "series", s.plots(now))
	}
	return s.send(now, out)
}

// requests tells of those that have ended since.
func (s *events) requests() bool {
	found, now, lost := s.after(s.filter, s.last, backlog)
	s.last = now
	var out []byte
	if lost > 0 {
		out = event(out, "lost", strconv.AppendInt(nil, lost, 10))
	}
	for i := range found {
		b, err := json.Marshal(&found[i])
		if err != nil {
			continue // no field of it can fail
		}
		out = event(out, "request", b)
	}
	return len(out) == 0 || s.send(time.Now(), out)
}

// event appends an event whose data is in one line.
func event(out []byte, name string, data []byte) []byte {
	out = append(append(out, "event: "...), name...)
	out = append(append(out, "\ndata: "...), data...)
	return append(out, "\n\n"...)
}

func (s *events) send(now time.Time, b []byte) bool {
	_ = s.control.SetWriteDeadline(now.Add(slowest)) // where it cannot be set no network is slow
	s.beat = now
	if _, err := s.out.Write(b); err != nil {
		return false
	}
	return s.control.Flush() == nil
}

package main_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"weir/usage"
)

// TestStoredFailureIsOld: a response that failed when it was made is read again as it is
// kept, whole or from an event on, and held against nobody, however often it is read.
func TestStoredFailureIsOld(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		made := steps("response-failed")
		w.east.Script(made...)
		w.west.Script(made...)
		got := w.respond(wish("hello", stream))
		id := regexp.MustCompile(`"(resp_[^"]+)"`).FindStringSubmatch(got.body)[1]
		before := len(w.asked())
		for range 5 {
			for from, content := range map[string]bool{"": true, "&starting_after=3": true, "&starting_after=4": false} {
				got := w.of(http.MethodGet, id, "?stream=true"+from)
				if got.status != http.StatusOK || !strings.Contains(got.body, "event: response.failed\n") || strings.Contains(got.body, "delta") != content {
					t.Fatalf("%q: %d %s", from, got.status, got.body)
				}
				if rec := w.record(); rec.Outcome != usage.OK || rec.FinishReason != "failed" || len(rec.Attempts) != 1 {
					t.Errorf("%q: recorded %+v", from, rec)
				}
			}
		}
		if n := len(w.asked()) - before; n != 15 {
			t.Errorf("%d calls", n)
		}
		if bad := w.unwell(); len(bad) > 0 {
			t.Errorf("deployments: %v", bad)
		}
	}, keptBy(oneSecret)...)
}

// TestNothingIsBehindTheEnd: who has all events of a response gets none when it asks for
// those behind, and that is no broken stream.
func TestNothingIsBehindTheEnd(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		id := w.respond(wish("hello", stream)).response(t).ID
		before := len(w.asked())
		for range 10 {
			got := w.of(http.MethodGet, id, "?stream=true&starting_after=1000")
			if kind := got.header.Get("Content-Type"); got.status != http.StatusOK || got.body != "" || kind != "text/event-stream" {
				t.Fatalf("%d %s: %s", got.status, kind, got.body)
			}
			if rec := w.record(); rec.Outcome != usage.OK {
				t.Errorf("recorded %+v", rec)
			}
		}
		if n := len(w.asked()) - before; n != 10 {
			t.Errorf("%d calls", n)
		}
		if bad := w.unwell(); len(bad) > 0 {
			t.Errorf("deployments: %v", bad)
		}
	}, keptBy(oneSecret)...)
}

// TestStreamIsAskedForOnce: however a client spells that it wants a stream of what is
// kept, the deployment is asked as the gateway understands it.
func TestStreamIsAskedForOnce(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		id := w.respond(wish("hello")).response(t).ID
		for query, want := range map[string]string{
			"stream=true":              "stream=true",
			"stream=True":              "stream=true",
			"stream=1":                 "stream=true",
			"stream=true&stream=false": "stream=true",
			"stream=false&stream=true": "stream=false",
			"stream=0":                 "stream=false",
			"stream=":                  "",
			"stream=yes":               "refused",
		} {
			before := len(w.asked())
			got := w.of(http.MethodGet, id, "?"+query)
			asked := "refused"
			if all := w.asked(); len(all) > before {
				asked = all[len(all)-1].RawQuery
			}
			streamed := strings.HasPrefix(got.header.Get("Content-Type"), "text/event-stream")
			if asked != want || streamed != (want == "stream=true") || (got.status == http.StatusBadRequest) != (want == "refused") {
				t.Errorf("%s: asked %q, answered %d %.200s", query, asked, got.status, got.body)
			}
		}
	}, keptBy(oneSecret)...)
}

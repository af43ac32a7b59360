package main_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
)

// A request that finds no room waits for it, and says how long it did: to the
// client and in the log. A key of a better priority goes first.
func TestWaitIsTold(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Delay: time.Second}, azuresim.Step{Delay: 400 * time.Millisecond})
		var got [3]reply
		keys := []string{searchKey, searchKey, searchKey + "-2"}
		var all sync.WaitGroup
		for i, key := range keys {
			all.Go(func() {
				body := strings.Replace(say("hello"), "gpt-4o", "mystery", 1)
				got[i] = w.chat(body, "Authorization", "Bearer "+key)
			})
			synctest.Wait()
		}
		all.Wait()
		for i, want := range []string{"", "1400.000", "1000.000"} {
			if got[i].status != 200 || got[i].header.Get("X-Weir-Queued-Ms") != want {
				t.Errorf("request %d: %d, queued %q, want %q", i, got[i].status, got[i].header.Get("X-Weir-Queued-Ms"), want)
			}
		}
		synctest.Wait()
		if n := strings.Count(w.log.String(), `"queued_ms":1400`); n != 1 {
			t.Errorf("%d lines tell the wait of the second:\n%s", n, w.log)
		}
	}, "{ backend: east, deployment: mystery }", "{ backend: east, deployment: mystery, max_in_flight: 1 }",
		`keys: [{ id: search-1, value: "${SEARCH_KEY}" }]`,
		`keys: [{ id: search-1, value: "${SEARCH_KEY}", priority: low }, { id: search-2, value: "${SEARCH_KEY}-2", priority: high }]`)
}

// A deployment whose configured quota is used up is not asked; without the twin
// it is.
func TestQuotaIsKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, twin, want string }{
		{"with the twin", "true", "gpt-4o-east, gpt-4o-west"},
		{"without", "false", "gpt-4o-east, gpt-4o-east"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.chat(say("hello"))
				w.chat(say("hello"))
				if got := strings.Join(w.calls(), ", "); got != tt.want {
					t.Errorf("asked %s, want %s", got, tt.want)
				}
			}, "deployment: gpt-4o-east, priority: 0", "deployment: gpt-4o-east, priority: 0, rpm: 6",
				"resilience:\n", "resilience:\n  twin: "+tt.twin+"\n")
		})
	}
}

package main_test

import (
	"fmt"
	"testing"

	"weir/azuresim"
)

// TestFailedResponseIsCured: a response that upstream says has failed, before any of its
// content, is made anew also where upstream keeps responses: what it keeps of this one is
// that it failed, under an id that the client never sees.
func TestFailedResponseIsCured(t *testing.T) {
	t.Parallel()
	const (
		begun  = `data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_east","object":"response","status":"in_progress"}}` + "\n\n"
		failed = `data: {"type":"response.failed","sequence_number":1,"response":{"id":"resp_east","object":"response","status":"failed",` +
			`"error":{"code":"server_error","message":"The server had an error while processing your request. Sorry about that!"}}}` + "\n\n"
		wrong = `data: {"type":"error","sequence_number":1,"code":"server_error","message":"The server had an error.","param":null}` + "\n\n"
	)
	for _, tt := range []struct {
		name, end string
		kept      int // how often a response is asked for that is kept
	}{
		{"it failed", failed, 2},
		{"nobody says what became of it", wrong, 1},
	} {
		for store, calls := range map[string]int{`"a":1`: tt.kept, `"store":true`: tt.kept, `"store":false`: 2} {
			t.Run(fmt.Sprintf("%s %s", tt.name, store), func(t *testing.T) {
				t.Parallel()
				bubble(t, plain, func(w *world) {
					w.east.Script(azuresim.Step{Chunks: []string{begun, tt.end}})
					got := w.respond(wish("hello", store, `"stream":true`))
					if n := len(w.asked()); n != calls {
						t.Errorf("%d calls, want %d: %d %.300s", n, calls, got.status, got.body)
					}
				})
			})
		}
	}
}

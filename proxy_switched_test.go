package main_test

import (
	"net/http"
	"testing"

	"weir/azuresim"
)

// TestNobodyAskedToSwitch: an answer that switches protocols, which no request but a
// session's asks for, is a fault of the deployment's like any other nonsense.
func TestNobodyAskedToSwitch(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		switched := azuresim.Step{Status: http.StatusSwitchingProtocols, Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}}
		for _, body := range []string{say("hello"), say("hello", stream)} {
			w.east.Script(switched)
			got := w.chat(body)
			if got.status != http.StatusOK || got.header.Get("X-Weir-Deployment") != "west/gpt-4o-west" || got.header.Get("X-Weir-Attempts") != "2" {
				t.Errorf("%d %v %s", got.status, got.header, got.body)
			}
		}
	})
}

package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"weir/azuresim"
)

// TestCutStreamsAreTold: why an attempt failed is in the log and on the dashboard also
// where its answer broke off behind its beginning.
func TestCutStreamsAreTold(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{CutEvents: 4})
		w.chat(of("gpt-35-turbo", say("hello", `"stream":true`)))
		w.record()
		if !strings.Contains(w.log.String(), `"retry_reasons":["cut_stream"]`) {
			t.Errorf("the log does not say why:\n%s", w.log)
		}
		var list struct {
			Data []struct{ Attempts []struct{ Reason string } }
		}
		if text := w.overview("/admin/v1/requests"); json.Unmarshal([]byte(text), &list) != nil || list.Data[0].Attempts[0].Reason != "cut_stream" {
			t.Errorf("the dashboard does not say why: %s", text)
		}
	})
}

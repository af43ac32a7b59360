package telemetry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/telemetry"
)

// TestModelsThatFallTogether: of models that are told as one, some of which take
// requests, the one that is told does, however they are come by.
func TestModelsThatFallTogether(t *testing.T) {
	t.Parallel()
	m := measured(t, nil)
	m.Know(telemetry.Known{Models: map[string]bool{"own": true}})
	up := map[string]bool{"own": false, "up": true}
	for i := range 40 {
		up[fmt.Sprintf("down-%d", i)] = false
	}
	m.Watch(telemetry.Sources{Models: func() map[string]bool { return up }})
	for range 8 {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		text := w.Body.String()
		for _, want := range []string{`weir_model_available{model="own"} 0`, `weir_model_available{model="other"} 1`} {
			if !strings.Contains(text, want+"\n") {
				t.Fatalf("there is no %s", want)
			}
		}
	}
}

package azuresim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
)

// TestEveryFaultStrikesEveryEndpoint holds that no fault breaks an endpoint it
// was not made for, and that each ends when the client goes away.
func TestEveryFaultStrikesEveryEndpoint(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		if op.method != http.MethodPost || op.setup[0] != "" {
			continue
		}
		for _, streams := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %t", op.path, streams), func(t *testing.T) {
				t.Parallel()
				for _, fault := range azuresim.Faults() {
					if fault != "gzip-bomb" { // Its 16 MiB are the same everywhere.
						synctest.Test(t, func(t *testing.T) { strikeOnce(t, op, fault, streams) })
					}
				}
			})
		}
	}
}

func strikeOnce(t *testing.T, op operation, fault string, streams bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	body, kind := op.body, "application/json"
	if lines, ok := strings.CutPrefix(body, "--form\n"); ok {
		if streams {
			lines += "\nstream=true"
		}
		body, kind = form(t, lines)
	} else if streams {
		body = strings.Replace(body, "{", `{"stream":true,"stream_format":"sse",`, 1)
	}
	sim := azuresim.New(azuresim.Config{})
	req := httptest.NewRequestWithContext(ctx, op.method, "/v1/"+op.path, strings.NewReader(body))
	req.Header.Set("Content-Type", kind)
	req.Header.Set("x-azuresim-fault", fault)
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(http.ErrAbortHandler) {
				t.Errorf("%s: %v", fault, p)
			}
		}()
		sim.ServeHTTP(httptest.NewRecorder(), req)
	}()
	if seen := sim.Requests()[0]; !seen.Done || seen.CompletionTokens < 0 || seen.PromptTokens < 0 {
		t.Errorf("%s: %+v", fault, seen)
	}
}

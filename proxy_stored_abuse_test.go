package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestNobodyBlamesADeployment: what a client asks of a stored response in a form that
// there is none of is not held against the deployment, which others need.
func TestNobodyBlamesADeployment(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		made := w.respond(wish("hello")).response(t)
		for range 5 {
			if got := w.of(http.MethodGet, made.ID, "/input_items?stream=true"); got.status != http.StatusOK || !strings.Contains(got.body, "hello") {
				t.Fatalf("items: %d %s", got.status, got.body)
			}
		}
		if got := w.of(http.MethodDelete, made.ID, "?stream=true&starting_after=1"); got.status != http.StatusOK || !strings.Contains(got.body, `"deleted":true`) {
			t.Errorf("deleted: %d %s", got.status, got.body)
		}
		if bad := w.unwell(); len(bad) > 0 {
			t.Errorf("deployments: %v", bad)
		}
	}, keptBy(oneSecret)...)
}

// TestExplainingDoesNothing: whoever asks what would become of a request causes
// nothing, where that cannot be explained either.
func TestExplainingDoesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		made := w.respond(wish("hello")).response(t)
		before := len(w.asked())
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			got := w.do(w.t.Context(), method, responsesPath+"/"+made.ID, "", "X-Weir-Explain", "1")
			if code, param, _ := got.code(); got.status != http.StatusBadRequest || code != "invalid_value" || param != "x-weir-explain" {
				t.Errorf("%s: %d %s", method, got.status, got.body)
			}
		}
		s, err := w.dial(realtimePath, "X-Weir-Explain", "1")
		if err == nil {
			_ = s.conn.Close(websocket.StatusNormalClosure, "")
		}
		if err == nil || s.resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a session: %v", err)
		}
		if n := len(w.asked()); n != before {
			t.Errorf("%d requests arrived", n-before)
		}
	}, keptBy(oneSecret)...)
}

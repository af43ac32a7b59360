package proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// refuses answers every call with an error that quotes what it was asked for.
type refuses struct{}

func (refuses) Candidates(*openai.Call) []openai.Candidate { return nil }

func (refuses) Do(_ context.Context, call *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	rec.Attempts = append(rec.Attempts, usage.Attempt{Sent: true})
	body := `{"error":{"message":"not found: ` + call.Passage.Query + `"}}`
	return &openai.Answer{Status: http.StatusBadRequest, Header: http.Header{}, Body: []byte(body), Close: func(error) {}}, nil
}

// TestRefusedListing holds that a resource's refusal of a listing names what it was to
// begin behind as the team knows it.
func TestRefusedListing(t *testing.T) {
	t.Parallel()
	signer, err := openai.NewSigner("a secret of a test")
	if err != nil {
		t.Fatal(err)
	}
	b := []proxy.Resource{{Name: "b", Models: []string{"m"}}}
	g := proxy.New(proxy.Config{
		Models: map[string]proxy.Model{"m": {Name: "m"}}, Teams: map[string]proxy.Team{"": {}}, Limiter: quota.NewMemory(quota.MemoryConfig{}),
		Signer: signer, Resources: b, Backends: b, Upstream: refuses{}, MaxBody: 1 << 20,
	})
	e := echo.New()
	g.Routes(e)
	known := signer.Sign("file-", "", "b", "file-upstream")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/files?after="+known, nil))
	if body := w.Body.String(); w.Code != http.StatusBadRequest || strings.Contains(body, "file-upstream") || !strings.Contains(body, known) {
		t.Errorf("%d %s, want %s in it", w.Code, body, known)
	}
}

package main_test

import (
	"net/http"
	"testing"
)

// TestModelsWithinARequest: a model that a tool or a session names is no way round
// those that the team may use.
func TestModelsWithinARequest(t *testing.T) {
	t.Parallel()
	tool := func(model string) string {
		return wish("x", `"tools":[{"type":"image_generation","model":"`+model+`"}]`)
	}
	bubble(t, plain, func(w *world) {
		for model, status := range map[string]int{"gpt-35-turbo": http.StatusForbidden, "gpt-5": http.StatusOK, "gpt-image-1": http.StatusOK} {
			got := w.do(w.t.Context(), http.MethodPost, responsesPath, tool(model), asOther()...)
			if code, param, _ := got.code(); got.status != status || status == http.StatusForbidden && (code != "model_not_allowed" || param != "tools[0].model") {
				t.Errorf("%s: %d %s", model, got.status, got.body)
			}
		}
		for _, of := range []string{
			`{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"gpt-35-turbo"}}}}}`,
			`{"type":"session.update","session":{"input_audio_transcription":{"model":"gpt-35-turbo"}}}`,
		} {
			s, err := w.dial(realtimePath, asOther()...)
			if err != nil {
				w.t.Fatal(err)
			}
			s.say(of)
			if e := s.last("error"); e.Error.Code != "model_not_allowed" {
				t.Errorf("%s: %s", of, e.raw)
			}
			s.leave()
		}
	}, keptBy(oneSecret)...)
}

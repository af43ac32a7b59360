package tokens_test

import (
	"strings"
	"testing"

	"weir/tokens"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	const o, c = tokens.O200K, tokens.CL100K
	for _, tt := range []struct {
		name      string
		prefix    string
		encoding  string
		reasoning bool
		output    int
	}{
		{"gpt-5.6-sol", "gpt-5.6", o, true, 128_000},
		{"gpt-5.6-terra", "gpt-5.6", o, true, 128_000},
		{"gpt-5.6-luna", "gpt-5.6", o, true, 128_000},
		{"gpt-5.5", "gpt-5.5", o, true, 128_000},
		{"gpt-5.4", "gpt-5.4", o, true, 128_000},
		{"gpt-5.4-pro", "gpt-5.4-pro", o, true, 128_000},
		{"gpt-5.4-mini-2026-03-17", "gpt-5.4-mini", o, true, 128_000},
		{"gpt-5.4-nano", "gpt-5.4-nano", o, true, 128_000},
		{"gpt-5.3-codex", "gpt-5.3-codex", o, true, 128_000},
		{"gpt-5.2-codex", "gpt-5.2-codex", o, true, 128_000},
		{"gpt-5.1-codex-max", "gpt-5.1-codex", o, true, 128_000},
		{"gpt-5.1-codex-mini", "gpt-5.1-codex", o, true, 128_000},
		{"gpt-5-codex", "gpt-5-codex", o, true, 128_000},
		{"gpt-5-pro", "gpt-5-pro", o, true, 128_000},
		{"gpt-5.2", "gpt-5.2", o, true, 128_000},
		{"gpt-5.1-2025-11-13", "gpt-5.1", o, true, 128_000},
		{"gpt-5-2025-08-07", "gpt-5", o, true, 128_000},
		{"gpt-5-mini-2025-08-07", "gpt-5-mini", o, true, 128_000},
		{"gpt-5-nano", "gpt-5-nano", o, true, 128_000},
		{"gpt-chat-latest", "gpt-chat-latest", o, true, 16_384},
		{"gpt-5-chat", "gpt-5-chat", o, false, 16_384},
		{"gpt-5-chat-latest", "gpt-5-chat", o, false, 16_384},
		{"gpt-5.1-chat", "gpt-5.1-chat", o, true, 16_384},
		{"gpt-5.2-chat", "gpt-5.2-chat", o, true, 16_384},
		{"gpt-5.3-chat", "gpt-5.3-chat", o, true, 16_384},
		{"gpt-5.7-mini-2027-01-01", "gpt-5.", o, true, 128_000},
		{"gpt-oss-120b", "gpt-oss", tokens.Harmony, true, 131_072},
		{"gpt-oss-20b", "gpt-oss", tokens.Harmony, true, 131_072},
		{"model-router", "model-router", o, false, 0},
		{"gpt-audio", "gpt-audio", o, false, 16_384},
		{"gpt-audio-1.5", "gpt-audio", o, false, 16_384},
		{"gpt-audio-mini", "gpt-audio", o, false, 16_384},
		{"gpt-4.1-2025-04-14", "gpt-4.1", o, false, 32_768},
		{"gpt-4.1-mini", "gpt-4.1-mini", o, false, 32_768},
		{"gpt-4.1-nano", "gpt-4.1-nano", o, false, 32_768},
		{"gpt-4o-2024-05-13", "gpt-4o-2024-05-13", o, false, 4_096},
		{"gpt-4o-2024-08-06", "gpt-4o", o, false, 16_384},
		{"gpt-4o-2024-11-20", "gpt-4o", o, false, 16_384},
		{"gpt-4o-mini-2024-07-18", "gpt-4o-mini", o, false, 16_384},
		{"chatgpt-4o-latest", "chatgpt-4o", o, false, 16_384},
		{"o4-mini-2025-04-16", "o4-mini", o, true, 100_000},
		{"o3", "o3", o, true, 100_000},
		{"o3-mini", "o3-mini", o, true, 100_000},
		{"o3-pro", "o3-pro", o, true, 100_000},
		{"o1-2024-12-17", "o1", o, true, 100_000},
		{"codex-mini", "codex-mini", o, true, 100_000},
		{"gpt-4-turbo-2024-04-09", "gpt-4-turbo-2024-04-09", c, false, 4_096},
		{"gpt-4", "gpt-4", c, false, 8_192},
		{"gpt-4-0613", "gpt-4", c, false, 8_192},
		{"gpt-4-32k-0613", "gpt-4-32k", c, false, 8_192},
		{"gpt-35-turbo", "gpt-3.5-turbo", c, false, 4_096},
		{"gpt-35-turbo-16k", "gpt-3.5-turbo-16k", c, false, 16_384},
		{"GPT-3.5-Turbo-0125", "gpt-3.5-turbo", c, false, 4_096},
		{"ft:gpt-4o-mini-2024-07-18:acme::9k", "gpt-4o-mini", o, false, 16_384},
		{"azure/gpt-4o", "gpt-4o", o, false, 16_384},
		{"text-embedding-3-large", "text-embedding-3-large", c, false, 0},
		{"text-embedding-3-small", "text-embedding-3-small", c, false, 0},
		{"text-embedding-ada-002", "text-embedding-ada-002", c, false, 0},
		{"computer-use-preview", "computer-use-preview", o, false, 1_024},

		// Nothing that is not in the table is taken for an old model.
		{"gpt-4.9-turbo", "", o, false, 0},
		{"gpt-4oo", "", o, false, 0},
		{"gpt-6", "", o, false, 0},
		{"my-deployment", "", o, false, 0},
		{"", "", o, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := tokens.Lookup(tt.name)
			if m.Prefix != tt.prefix || m.Known != (tt.prefix != "") {
				t.Errorf("Lookup(%q) has prefix %q, known %v; want %q", tt.name, m.Prefix, m.Known, tt.prefix)
			}
			if m.Encoding != tt.encoding || m.Reasoning != tt.reasoning || m.MaxOutput != tt.output {
				t.Errorf("Lookup(%q) = %+v, want %+v", tt.name, m, tt)
			}
			field := "max_tokens"
			if tt.reasoning {
				field = "max_completion_tokens"
			}
			if got := m.MaxCompletionField(); got != field {
				t.Errorf("MaxCompletionField() of %q = %q, want %q", tt.name, got, field)
			}
		})
	}
}

func TestModelsAreComplete(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, m := range tokens.Models() {
		if seen[m.Prefix] {
			t.Errorf("%q has two rows", m.Prefix)
		}
		seen[m.Prefix] = true
		if m.Source == "" || len(m.Date) != len("2026-07") || !strings.HasPrefix(m.Date, "202") {
			t.Errorf("%q has source %q of %q", m.Prefix, m.Source, m.Date)
		}
		if !m.Known || !tokens.Known(m.Encoding) {
			t.Errorf("%q: known %v, encoding %q", m.Prefix, m.Known, m.Encoding)
		}
		if m.ContextWindow > 0 && (m.MaxInput > m.ContextWindow || m.MaxOutput > m.ContextWindow) {
			t.Errorf("%q: limits %d, %d, %d", m.Prefix, m.ContextWindow, m.MaxInput, m.MaxOutput)
		}
		if m.MaxInput > 0 && m.ContextWindow > 0 && m.MaxInput+m.MaxOutput > m.ContextWindow {
			t.Errorf("%q: input %d and output %d exceed %d", m.Prefix, m.MaxInput, m.MaxOutput, m.ContextWindow)
		}
		if !m.Embedding && m.Image == (tokens.ImageRule{}) {
			t.Errorf("%q has no rule for images", m.Prefix)
		}
		if tokens.Lookup(m.Prefix+"-2031-01-01").Encoding != m.Encoding && !strings.HasSuffix(m.Prefix, ".") {
			t.Errorf("a version of %q does not resolve to it", m.Prefix)
		}
	}
	if tokens.Known("gpt2") || !tokens.Known(tokens.Harmony) {
		t.Error("Known does not know the encodings")
	}
}

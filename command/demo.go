package command

import (
	"context"
	_ "embed" // for the demo's configuration
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"weir/azuresim"
	"weir/config"
	"weir/dashboard"
)

// demoFile is the configuration of the demo.
//
//go:embed demo.yaml
var demoFile []byte

func demoCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve with a simulated Azure OpenAI inside: no account, no network",
		Args:  cobra.NoArgs,
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:8080", "`address` of the API")
	admin := cmd.Flags().String("admin-listen", "127.0.0.1:8081", "`address` of the dashboard, health and metrics")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return s.demo(cmd.Context(), *listen, *admin) }
	return cmd
}

// demoKey is the key that the demo's callers use.
const demoKey = "sk-demo"

func (s *streams) demo(ctx context.Context, listenAt, adminAt string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("starting the simulator: %w", err)
	}
	simulator := &http.Server{Handler: azuresim.New(simulated()), ReadHeaderTimeout: readHeader}
	go func() { _ = simulator.Serve(l) }() // it ends when it is closed
	defer func() { _ = simulator.Close() }()

	set := map[string]string{"DEMO_ENDPOINT": "http://" + l.Addr().String(), "DEMO_LISTEN": listenAt, "DEMO_ADMIN_LISTEN": adminAt}
	f, problems := config.Parse("demo.yaml", demoFile, config.Options{
		Getenv: func(name string) (string, bool) { v, ok := set[name]; return v, ok },
	})
	if f == nil {
		return fmt.Errorf("the demo cannot listen there: %v", problems)
	}
	return run(ctx, f, Parts{Demo: demonstration(), Log: s.logger(f, new(slog.LevelVar)), Getenv: os.Getenv}, site{
		started: func(api, admin string) { welcome(s.out, api, admin) },
	})
}

// demonstration returns what the playground offers.
func demonstration() *dashboard.Demo {
	d := &dashboard.Demo{Key: demoKey}
	for _, name := range azuresim.Faults() {
		d.Faults = append(d.Faults, dashboard.Fault{Name: name, Does: azuresim.Explain(name)})
	}
	return d
}

// simulated is the resource that the demo runs in front of.
func simulated() azuresim.Config {
	const slowly = 20 * time.Millisecond
	return azuresim.Config{
		Key:      "simulated",
		Remember: 1,
		Deployments: map[string]azuresim.Deployment{
			"gpt-4o-ptu":   {Model: "gpt-4o-2024-11-20", Provisioned: true, TPM: 200_000, ContextWindow: 128_000, MaxOutput: 16_384, Gap: slowly},
			"gpt-4o":       {Model: "gpt-4o-2024-11-20", TPM: 300_000, RPM: 1_800, ContextWindow: 128_000, MaxOutput: 16_384, Gap: slowly},
			"gpt-35-turbo": {Model: "gpt-35-turbo-0125", TPM: 300_000, RPM: 1_800, ContextWindow: 16_385, MaxOutput: 4_096, Gap: slowly},
			"gpt-5":        {Model: "gpt-5-2025-08-07", TPM: 300_000, RPM: 1_800, ContextWindow: 400_000, MaxOutput: 128_000, Reasoning: true, Gap: slowly},

			"gpt-realtime":           {Model: "gpt-realtime"},
			"text-embedding-3-small": {Model: "text-embedding-3-small"},
			"whisper-1":              {Model: "whisper-1"},
			"gpt-image-1":            {Model: "gpt-image-1"},
			"gpt-4o-mini-tts":        {Model: "gpt-4o-mini-tts"},
		},
	}
}

// welcome prints what to paste.
func welcome(w io.Writer, api, admin string) {
	curl := func(content string) string {
		return "    curl -si " + api + "/v1/chat/completions -H 'Authorization: Bearer " + demoKey + "' \\\n" +
			"      -H 'Content-Type: application/json' \\\n" +
			"      -d '{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"" + content + "\"}]}'\n"
	}
	_, _ = fmt.Fprintf(w, `
  weir %s demo: a simulated Azure OpenAI runs inside, nothing leaves this machine

  API        %s/v1        key  %s
  Dashboard  %s/

  An answer:
%s
  A special token, refused with its place (400 special_tokens_in_input):
%s
  A 500 for invalid Unicode, cured at a lower temperature (200, x-weir-attempts: 2):
%s
  Any OpenAI client:       export OPENAI_BASE_URL=%s/v1 OPENAI_API_KEY=%s
  Any AzureOpenAI client:  export AZURE_OPENAI_ENDPOINT=%s AZURE_OPENAI_API_KEY=%s
  Your own Azure:          AZURE_OPENAI_ENDPOINT=https://NAME.openai.azure.com AZURE_OPENAI_API_KEY=... weir

`, version(), api, demoKey, admin, curl("hello"), curl("<|im_start|>system"), curl("!unicode-500"), api, demoKey, api, demoKey)
}

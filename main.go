// Weir is an OpenAI-compatible gateway in front of Azure OpenAI.
package main

import (
	"context"
	"os"

	"weir/command"
)

func main() {
	os.Exit(command.Main(context.Background(), os.Args[1:]))
}

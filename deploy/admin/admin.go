// Package admin is what the program does besides serving: the commands for who
// runs it. They only parse and print. What they do is done by packages presence,
// httpapi and doctor, for Go programs too; only health asks by itself.
package admin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// Setting is what the commands need of the configuration.
type Setting struct {
	Database   string // its file
	Secret     string // that tokens are signed with. "": it is in SecretFile
	SecretFile string // which the server makes if there is no Secret
	URL        string // of the server, from this machine; without a slash at the end
}

// Reader reads the configuration from a file; "" is the default one. Beside an
// error it returns as much as it could read.
type Reader func(file string) (Setting, error)

// command is one of them. Its start adds its own flags, and returns what to do
// once they are parsed.
type command struct {
	name, operand, about, help string
	start                      func(*flag.FlagSet) action
}

// action does what a command is for. read returns the configuration that the
// flags name.
type action func(ctx context.Context, read func() (Setting, error), operand string) error

func commands() []command {
	return []command{
		{"token", "USER", "print a token for a user", helpToken, startToken},
		{"check", "", "check the configuration and the database", helpCheck, startCheck},
		{"backup", "FILE", "back up the database", helpBackup, startBackup},
		{"restore", "FILE", "put a backup in the place of the database", helpRestore, startRestore},
		{"health", "", "ask the server on this machine whether it is ready", helpHealth, startHealth},
		{"doctor", "URL", "measure what lies between clients and the server", helpDoctor, startDoctor},
	}
}

// Run runs the command that the arguments name. file is that of -config; it may
// also stand behind the command.
func Run(ctx context.Context, file string, args []string, read Reader) error {
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, file, args[1:], read)
		}
	}
	return failure{fmt.Errorf("there is no command %q: see presence -h", args[0]), misuse}
}

func (c command) run(ctx context.Context, file string, args []string, read Reader) error {
	set := flag.NewFlagSet("presence "+c.name, flag.ContinueOnError)
	set.StringVar(&file, "config", file, "read the configuration from `FILE` (default presence.toml, if there is one)")
	act := c.start(set)
	operands, err := parse(set, args)
	switch {
	case err == flag.ErrHelp:
		printHelp(set, fmt.Sprintf("Usage: %s\n\n%s\n", strings.TrimSpace(set.Name()+" [flags] "+c.operand), c.help))
		return nil
	case err != nil:
		return Misused(set, err)
	case c.operand == "" && len(operands) > 0:
		return Misused(set, fmt.Errorf("unexpected argument %q", operands[0]))
	case c.operand != "" && len(operands) == 1 && operands[0] == "":
		return Misused(set, fmt.Errorf("%s must not be empty", c.operand))
	case c.operand != "" && len(operands) != 1:
		return Misused(set, fmt.Errorf("one %s is needed, not %d", c.operand, len(operands)))
	}
	return act(ctx, func() (Setting, error) { return read(file) }, strings.Join(operands, ""))
}

// parse takes flags before the operands, and behind them.
func parse(set *flag.FlagSet, args []string) (operands []string, err error) {
	set.SetOutput(io.Discard) // errors are told in one line
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return operands, nil
		}
		operands, args = append(operands, set.Arg(0)), set.Args()[1:]
	}
}

// Help prints what the program can do, and the flags of serving.
func Help(set *flag.FlagSet) {
	text := "Usage: presence [flags]            to serve\n       presence [flags] COMMAND …\n\nCommands:\n"
	for _, c := range commands() {
		text += fmt.Sprintf("  %-14s %s\n", c.name+" "+c.operand, c.about)
	}
	printHelp(set, text+"\npresence COMMAND -h says more about each. Exit code: 0 fine, 1 failed, 2 misused.\n")
}

func printHelp(set *flag.FlagSet, text string) {
	fmt.Print(text, "\nFlags:\n")
	set.SetOutput(os.Stdout)
	set.PrintDefaults()
}

// misuse is the exit code of a call that can't be meant.
const misuse = 2

// failure is an error with an exit code of its own.
type failure struct {
	error
	code int
}

// Misused tells how a program that was called in the wrong way is called.
func Misused(set *flag.FlagSet, err error) error {
	return failure{fmt.Errorf("%w: see %s -h", err, set.Name()), misuse}
}

// ExitCode returns what the program ends with: 0 without an error, and usually 1
// with one.
func ExitCode(err error) int {
	if f, ok := errors.AsType[failure](err); ok {
		return f.code
	}
	if err != nil {
		return 1
	}
	return 0
}

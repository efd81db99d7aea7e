// A Go program with C in it, which leaks on both sides. What it holds on the side of Go (files, a goroutine that is stuck
// with one) no hook sees; what it holds on the side of C (blocks, a stream) no system call shows. The arguments say what
// else it does:
//
//	wait       says its number, and goes on when there is no more input
//	program P  starts P
//	become P   executes P in its place
//	thread     the C side starts two threads, and joins one
//	fork       a fork child of the C side keeps blocks and a stream
//	fork HOW   and loses what the library has recorded in it: "deleted" or "cut"
//	again N    executes itself N times first
//	grow       the C side keeps 3 MiB more
//	exit       ends as C programs do, with what they have registered (atexit)
package main

/*
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile kept[64];
static int blocks;
static void keep(void) { kept[blocks++] = malloc(1000); } // @c-block
static void give_back(void) { free(malloc(2000)); }
static void grow(void) {
	for (int at = 0; at < 3; ++at) kept[blocks++] = malloc(1 << 20); // @grows
}
static FILE *stream;
static int open_stream(void) {
	stream = fopen("/etc/group", "r"); // @c-stream
	return fileno(stream);
}
static void *run(void *nothing) { return nothing; }
static void end_thread(int is_joined) {
	pthread_t thread;
	pthread_create(&thread, NULL, run, NULL); // @c-thread
	if (is_joined) pthread_join(thread, NULL);
}
static void lose_records(int is_cut) {
	char pattern[512];
	glob_t found;
	const char *folder = getenv("UNFREED_LEDGER_DIR");
	snprintf(pattern, sizeof pattern, "%s/unfreed-" "*" "/%d-" "*" ".library", folder ? folder : "/nowhere", getpid());
	if (glob(pattern, 0, NULL, &found) != 0) return;
	unlink(found.gl_pathv[0]);
	if (is_cut) close(open(found.gl_pathv[0], O_CREAT | O_WRONLY, 0600));
	globfree(&found);
}
static void keep_in_child(char lost) {
	pid_t child = fork();
	if (child == 0) {
		for (int at = 0; at < 3; ++at) kept[at] = malloc(500); // @child-block
		open_stream();
		if (lost) lose_records(lost == 'c');
		exit(0);
	}
	waitpid(child, NULL, 0);
}
static void say_end(void) { puts("C ends"); }
static void end(void) {
	atexit(say_end);
	exit(0);
}
*/
import "C"

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"syscall"
)

var files []*os.File

func open() {
	file, err := os.Open("/etc/passwd") // @go-file
	if err != nil {
		panic(err)
	}
	files = append(files, file)
}

func stuck(isStuck chan<- bool, never <-chan bool) {
	file, _ := os.Open("/etc/hosts") // @stuck-file
	isStuck <- true
	<-never // @blocked
	file.Close()
}

// The descriptors that the program has opened and kept, as the kernel lists them.
func held() []int {
	var numbers []int
	for number := 3; number < 100; number++ {
		switch target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", number)); target {
		case "/etc/passwd", "/etc/group", "/etc/hosts":
			numbers = append(numbers, number)
		}
	}
	sort.Ints(numbers)
	return numbers
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "again" {
		if left, _ := strconv.Atoi(os.Args[2]); left > 0 {
			C.keep()
			fmt.Println(syscall.Exec(os.Args[0], []string{os.Args[0], "again", strconv.Itoa(left - 1)}, os.Environ()))
		}
	}
	for at := 0; at < 7; at++ {
		C.keep() // @go-calls
		C.give_back()
	}
	for at := 0; at < 3; at++ {
		open()
	}
	C.open_stream()
	isStuck := make(chan bool)
	go stuck(isStuck, make(chan bool)) // @starts-stuck
	<-isStuck
	arguments := append(os.Args[1:], "")
	switch arguments[0] {
	case "wait":
		fmt.Println(os.Getpid())
		io.Copy(io.Discard, os.Stdin)
	case "program":
		command := exec.Command(arguments[1])
		command.Stdout = os.Stdout
		if err := command.Run(); err != nil {
			fmt.Println(err)
		}
	case "become":
		fmt.Println(syscall.Exec(arguments[1], arguments[1:2], os.Environ()))
	case "grow":
		C.grow()
	case "thread":
		C.end_thread(1)
		C.end_thread(0)
	case "fork":
		C.keep_in_child(C.char((arguments[1] + "\x00")[0]))
	}
	fmt.Println(held())
	if arguments[0] == "exit" {
		C.end()
	}
}

/*
 * Builds filters with libseccomp as runc and crun do (runc, libcontainer/seccomp/seccomp_linux.go) and prints them.
 *
 *   new ACTION             a filter for this architecture
 *   arch NAME              one more architecture
 *   rule ACTION NAME N (INDEX OP A B)*N
 *   end                    answers: number of instructions and each as "CODE JT JF K", or "error TEXT"
 */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/filter.h>

int main(void)
{
	scmp_filter_ctx filter = NULL;
	char word[32], name[64], error[128] = "";
	unsigned int action, normal = 0, count;

	while (scanf("%31s", word) == 1) {
		if (!strcmp(word, "new")) {
			scanf("%u", &normal);
			seccomp_release(filter);
			filter = seccomp_init(normal);
			error[0] = 0;
		} else if (!strcmp(word, "arch")) {
			scanf("%63s", name);
			int rc = seccomp_arch_add(filter, seccomp_arch_resolve_name(name));
			if (rc < 0 && rc != -17)
				snprintf(error, sizeof(error), "arch %s: %s", name, strerror(-rc));
		} else if (!strcmp(word, "rule")) {
			struct scmp_arg_cmp args[6];
			unsigned int index, op;
			unsigned long long a, b;
			scanf("%u %63s %u", &action, name, &count);
			for (unsigned int i = 0; i < count; i++) {
				scanf("%u %u %llu %llu", &index, &op, &a, &b);
				args[i] = (struct scmp_arg_cmp){ index, op, a, b };
			}
			int nr = seccomp_syscall_resolve_name(name);
			if (action == normal || nr == __NR_SCMP_ERROR)
				continue;
			int rc = seccomp_rule_add_array(filter, action, nr, count, args);
			if (rc < 0)
				snprintf(error, sizeof(error), "rule %s: %s", name, strerror(-rc));
		} else if (!strcmp(word, "end")) {
			FILE *file = tmpfile();
			if (!error[0] && seccomp_export_bpf(filter, fileno(file)) < 0)
				strcpy(error, "cannot export");
			if (error[0]) {
				printf("error %s\n", error);
			} else {
				struct sock_filter one;
				printf("%ld\n", (long)(lseek(fileno(file), 0, SEEK_END) / sizeof(one)));
				lseek(fileno(file), 0, SEEK_SET);
				while (read(fileno(file), &one, sizeof(one)) == sizeof(one))
					printf("%u %u %u %u\n", one.code, one.jt, one.jf, one.k);
			}
			fclose(file);
			fflush(stdout);
		}
	}
	return 0;
}

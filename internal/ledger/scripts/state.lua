return {verdict, attempts, 0}
